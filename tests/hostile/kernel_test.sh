#!/bin/bash
# ghostd and its guardian, stopped, killed, starved and unmounted: no client thread is left stopped or pinned.
. tests/e2e/lib.sh
. tests/e2e/env.sh
. tests/hostile/hostile.sh

h_kernel && h_guardian
is_stopped_or_traced() { case $(e_state "$1") in T | t) ;; *) return 1 ;; esac; }
is_stopped() { [ "$(e_state "$1")" = T ]; }

t_begin "ghostd is stopped and continued"
h_start || t_fail
kill -STOP "${PID[ghostd]}" && e_until 5 is_stopped "${PID[ghostd]}" || t_fail "it does not stop"
kill -CONT "${PID[ghostd]}"
e_ask client advance advanced 20 || t_fail "no progress afterwards"
e_stop agent INT || t_fail
h_well && t_pass

t_begin "ghostd is stopped for good: its guardian continues it"
h_start || t_fail
kill -STOP "${PID[ghostd]}" && e_until 5 is_stopped "${PID[ghostd]}" || t_fail "it does not stop"
e_ask client advance advanced 5 || t_fail "nobody continues it"
e_stop agent INT || t_fail
h_well && t_pass

t_begin "Ctrl-Z and the like do not stop ghostd"
h_start || t_fail
for signal in TSTP TTIN TTOU HUP; do kill -$signal "${PID[ghostd]}"; done
h_answers || t_fail
! is_stopped "${PID[ghostd]}" || t_fail "it is stopped"
e_stop agent INT || t_fail
h_well && t_pass

t_begin "ghostd is stopped and then killed"
h_start || t_fail
kill -STOP "${PID[ghostd]}" && e_until 5 is_stopped "${PID[ghostd]}" || t_fail "it does not stop"
kill -KILL "${PID[ghostd]}"
h_gone && t_pass

t_begin "the guardian is killed: another one comes, and does its work"
h_start || t_fail
old=$GUARDIAN
new_guardian() { h_guardian && [ -n "$GUARDIAN" ] && [ "$GUARDIAN" != "$old" ]; }
kill -KILL "$old"
e_until 5 new_guardian || t_fail "no other guardian"
e_ask client advance advanced || t_fail
kill -KILL "${PID[ghostd]}"
h_gone && t_pass

t_begin "guardians are killed one after the other: nothing leaks"
for _ in 1 2 3 4 5; do
  old=$GUARDIAN
  kill -KILL "$old"
  e_until 5 new_guardian || t_fail "no other guardian"
done
h_well && t_pass

t_begin "the guardian is stopped, and ghostd killed"
h_start || t_fail
kill -STOP "$GUARDIAN" && e_until 5 is_stopped "$GUARDIAN" || t_fail "it does not stop"
kill -KILL "${PID[ghostd]}"
h_gone && t_pass

t_begin "both are stopped, and ghostd killed"
h_start || t_fail
kill -STOP "$GUARDIAN" "${PID[ghostd]}"
e_until 5 is_stopped "$GUARDIAN" && e_until 5 is_stopped "${PID[ghostd]}" || t_fail "they do not stop"
kill -KILL "${PID[ghostd]}"
h_gone && t_pass

t_begin "ghostd is killed in the middle of a fork bomb"
h_start || t_fail
e_start bomb bash -c "echo \$\$ >$ENCLAVE/tasks && exec $HOSTILE/hostile_client --attack=fork_bomb --enclave=$ENCLAVE"
many() { [ "$(wc -l <"$ENCLAVE/tasks")" -gt 100 ]; }
e_until 20 many || t_fail "no bomb"
kill -KILL "${PID[ghostd]}"
e_end bomb 60 || t_fail
h_gone && t_pass

t_begin "ghostd ends with a stopped client: it stays stopped, by its own will, and can be continued"
h_start || t_fail
e_start stopped bash -c "echo \$\$ >$ENCLAVE/tasks && kill -STOP \$\$ && echo on"
e_until 10 e_in_enclave "$ENCLAVE" "${PID[stopped]}" || t_fail
e_until 10 is_stopped_or_traced "${PID[stopped]}" || t_fail "state $(e_state "${PID[stopped]}")"
kill -INT "${PID[ghostd]}"
e_until 20 is_stopped "${PID[stopped]}" || t_fail "a stopped client is in state $(e_state "${PID[stopped]}")"
kill -CONT "${PID[stopped]}"
h_gone && t_pass

t_begin "an agent is stopped: its enclave can be destroyed, its clients go on"
h_start || t_fail
for pid in "${PID[agent]}" $(pgrep -P "${PID[agent]}"); do kill -STOP "$pid"; done
h_well || t_fail
kill -CONT "${PID[agent]}"  # the parent of the process that ghostd has killed
e_end agent 20 || t_fail
t_pass

t_begin "an agent is stopped and continued"
h_start || t_fail
for pid in "${PID[agent]}" $(pgrep -P "${PID[agent]}"); do kill -STOP "$pid"; done
h_answers || t_fail
for pid in "${PID[agent]}" $(pgrep -P "${PID[agent]}"); do kill -CONT "$pid"; done
e_ask client advance advanced 20 || t_fail "no progress afterwards"
e_stop agent INT || t_fail
h_well && t_pass

t_begin "an agent is stopped and killed"
h_start || t_fail
for pid in "${PID[agent]}" $(pgrep -P "${PID[agent]}"); do kill -STOP "$pid"; done
for pid in "${PID[agent]}" $(pgrep -P "${PID[agent]}"); do kill -KILL "$pid"; done
e_end agent || t_fail
h_well && t_pass

t_begin "programs are killed in the middle of requests"
h_start || t_fail
for i in $(seq 50); do
  (while :; do
    cat "$ENCLAVE/tasks" "$ENCLAVE/status" "$GHOSTFS/stats" >/dev/null && ls -lR "$GHOSTFS" >/dev/null
  done) &
  pid=$!
  e_until 5 test -e "/proc/$pid" && { [ $((i % 5)) = 0 ] || read -r -t 0.0$((i % 5)) -u "${OUT[client]}"; }
  kill -KILL "$pid"
  { wait "$pid"; } 2>/dev/null
done
e_stop agent INT || t_fail
h_well && t_pass

t_begin "a program leaves thousands of files open"
e_start opener python3 -u -c '
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
files = [os.open(sys.argv[1] + "/version", os.O_RDONLY) for _ in range(10000)]
files += [os.open(sys.argv[1], os.O_RDONLY) for _ in range(5000)]
for file in files[10000:]: os.listdir(file)
print("open", len(files))
sys.stdin.read()
' "$GHOSTFS"
e_expect opener "open 15000" || t_fail
h_answers || t_fail
e_stop opener KILL || t_fail
h_well && t_pass

t_begin "ghostd ends while files are open"
h_start || t_fail
e_start opener bash -c "exec 7<$ENCLAVE/status 8<$GHOSTFS/version 9>$ENCLAVE/ctl; echo open; read -r; cat <&7"
e_expect opener open || t_fail
kill -INT "${PID[ghostd]}"
e_close opener
h_gone && t_pass

t_begin "ghostfs is unmounted while it is in use"
h_start || t_fail
umount "$GHOSTFS" 2>/dev/null && t_fail "although it is busy"
h_answers || t_fail
umount -l "$GHOSTFS" || t_fail
e_ask client advance advanced 10 || t_fail "no progress after a lazy unmount"
e_stop agent INT 20 || t_fail
h_gone && t_pass

h_client_case "a real-time thread takes ghostd's and the agent's time on one CPU" realtime_spinner outside

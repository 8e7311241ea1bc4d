#!/bin/bash
# Enclaves: destroyed under load and from inside, two at once, tasks that move between them.
. tests/e2e/lib.sh
. tests/e2e/env.sh

# client NAME THREADS DIR
client() {
  e_start "$1" bash -c "echo \$\$ > $3/tasks && exec $E2E/population $2"
  e_expect "$1" "living $2" && e_ask "$1" advance advanced
}

t_begin "destroy with a live agent and live tasks: the agent ends, the tasks go on"
e_kernel --cpus=4 && e_agent agent --ghost_cpus=0-3 || t_fail
enclave=$(e_enclave_of agent)
client one 50 "$enclave" || t_fail
echo destroy >"$enclave/ctl" || t_fail
e_end agent 20 || t_fail "the agent does not end"
e_until 5 test ! -e "$enclave" || t_fail "$enclave is still there"
e_ask one await-own "own 50 of 50" 10 || t_fail
e_runs_free "${PID[one]}" || t_fail "threads are still held"
e_ask one advance advanced 10 || t_fail
e_close one
e_end one || t_fail
t_pass

t_begin "destroy from inside: the task that writes it goes on"
e_agent agent --ghost_cpus=0-3 || t_fail
enclave=$(e_enclave_of agent)
e_start shell bash
e_ask shell "echo \$\$ > $enclave/tasks && echo inside" inside || t_fail
e_ask shell "echo destroy > $enclave/ctl; echo written \$?" "written 0" 20 || t_fail
e_until 5 test ! -e "$enclave" || t_fail "$enclave is still there"
e_end agent 20 || t_fail "the agent does not end"
e_close shell
e_end shell || t_fail
t_pass

t_begin "two enclaves on disjoint CPUs at once"
e_agent first --ghost_cpus=0-1 && e_agent second --ghost_cpus=2-3 || t_fail
enclave_1=$(e_enclave_of first) enclave_2=$(e_enclave_of second)
[ "$enclave_1" != "$enclave_2" ] || t_fail "both serve $enclave_1"
client one 20 "$enclave_1" || t_fail
client two 20 "$enclave_2" || t_fail
e_ask one advance advanced && e_ask two advance advanced || t_fail
"$GHOSTCTL" enclave ls
[ "$("$GHOSTCTL" enclave ls | grep -c online)" = 2 ] || t_fail
t_pass

t_begin "a CPU that one enclave has is refused to another, and the message names it"
"$BIN/fifo_per_cpu_agent" --ghost_cpus=1-2 >"$T/busy.out" 2>&1 </dev/null
status=$?
[ "$status" = 5 ] || t_fail "exit status $status: $(cat "$T/busy.out")"
grep -q "${enclave_1##*/}\|${enclave_2##*/}" "$T/busy.out" || t_fail "it names none: $(cat "$T/busy.out")"
[ "$("$GHOSTCTL" enclave ls | grep -c enclave_)" = 2 ] || t_fail "it left something: $("$GHOSTCTL" enclave ls)"
t_pass

t_begin "all threads of a process move from one enclave to the other, and live on"
"$GHOSTCTL" move --enclave "$enclave_2" "${PID[one]}" || t_fail
e_ask one advance advanced 20 || t_fail "not every thread runs on"
grep -qx "nr_tasks 0" "$enclave_1/status" || t_fail "left behind: $(cat "$enclave_1/status")"
e_until 10 grep -qx "nr_tasks 42" "$enclave_2/status" || t_fail "$(cat "$enclave_2/status")"
t_pass

t_begin "moving what is there already changes nothing"
"$GHOSTCTL" move --enclave "$enclave_2" "${PID[one]}" >"$T/again" 2>&1 || t_fail "$(cat "$T/again")"
grep -q "21 were there already" "$T/again" || t_fail "$(cat "$T/again")"
t_pass

t_begin "and out of ghost"
"$GHOSTCTL" move --out "${PID[one]}" "${PID[two]}" || t_fail
e_until 10 grep -qx "nr_tasks 0" "$enclave_2/status" || t_fail "$(cat "$enclave_2/status")"
e_ask one await-own "own 20 of 20" 10 && e_ask two await-own "own 20 of 20" 10 || t_fail
e_ask one advance advanced && e_ask two advance advanced || t_fail
e_stop first INT && e_stop second INT || t_fail
t_pass

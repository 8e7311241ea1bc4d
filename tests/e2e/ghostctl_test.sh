#!/bin/bash
# ghostctl as users use it: what it starts, what it leaves, and what its exit status says.
. tests/e2e/lib.sh
. tests/e2e/env.sh

enclaves() { "$GHOSTCTL" enclave ls | grep -c enclave_; }
# None of what run starts is left: no agent of its, and no enclave. (ghostd is this script's.)
nothing_left() { [ -z "$(e_left | grep -v "/ghostd$")" ] && [ "$(enclaves)" = 0 ]; }

e_kernel

t_begin "doctor: every line ok, fix or info; exit status 0 where ghostd serves"
"$GHOSTCTL" doctor >"$T/out" || t_fail "exit status $?: $(cat "$T/out")"
! grep -v -q -E '^(ok|fix|info) ' "$T/out" || t_fail "$(cat "$T/out")"
grep -q "^ok *ghostfs.*$GHOSTFS" "$T/out" || t_fail "$(cat "$T/out")"
cat "$T/out"
t_pass

t_begin "doctor --json is the same as JSON"
"$GHOSTCTL" doctor --json | python3 -c '
import json, sys
findings = json.load(sys.stdin)
assert len(findings) >= 10, findings
assert all(f["verdict"] in ("ok", "fix", "info") for f in findings)
' || t_fail
t_pass

t_begin "run: the exit status is the program's"
"$GHOSTCTL" run --cpus "$CPUS" -- true || t_fail "true: $?"
"$GHOSTCTL" run --cpus "$CPUS" -- sh -c 'exit 42'
[ $? = 42 ] || t_fail "exit 42: $?"
"$GHOSTCTL" run --cpus "$CPUS" -- sh -c 'kill -SEGV $$'
status=$?
[ "$status" = 139 ] || t_fail "killed by SIGSEGV: $status"
"$GHOSTCTL" run --cpus "$CPUS" -- /no/such/program 2>"$T/err"
[ $? = 127 ] || t_fail "no such program: $?"
grep -q "cannot run /no/such/program" "$T/err" || t_fail "$(cat "$T/err")"
nothing_left || t_fail "left: $(e_left)"
t_pass

t_begin "run: standard input and output are the program's alone"
[ "$(echo through | "$GHOSTCTL" run --cpus "$CPUS" -- cat 2>/dev/null)" = through ] || t_fail
t_pass

t_begin "run: the program's first process is a task of the enclave"
"$GHOSTCTL" run --cpus "$CPUS" -- sh -c 'grep -qx $$ $GHOSTFS/enclave_*/tasks' || t_fail
t_pass

t_begin "run: signals are passed on"
e_start run "$GHOSTCTL" run --cpus "$CPUS" -- python3 -u -c '
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
print("up")
print("got", signal.sigwait({signal.SIGUSR1}).name)
signal.pause()
'
e_expect run up || t_fail
kill -USR1 "${PID[run]}"
e_expect run "got SIGUSR1" || t_fail
kill -TERM "${PID[run]}"
e_end run || t_fail
[ "$STATUS" = 143 ] || t_fail "after SIGTERM: $STATUS"
nothing_left || t_fail "left: $(e_left)"
t_pass

t_begin "run at a terminal: Ctrl-Z stops it, SIGCONT goes on, Ctrl-C reaches the program once"
python3 - "$GHOSTCTL" "$CPUS" >"$T/out" 2>&1 <<'PYTHON' || t_fail "$(cat "$T/out")"
import os, pty, signal, sys
script = 'trap "echo got INT; exit 5" INT; trap "echo got CONT" CONT; echo up; while :; do sleep 0.05; done'

def shell():  # as an interactive shell does: the job in the foreground, in a process group of its own
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execv(sys.argv[1], [sys.argv[1], "run", "--cpus", sys.argv[2], "--", "sh", "-c", script])
    if os.WIFSTOPPED(os.waitpid(job, os.WUNTRACED)[1]): print("stopped", flush=True)
    os.killpg(job, signal.SIGCONT)
    print("exit status", os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]), flush=True)
    os._exit(0)

pid, terminal = pty.fork()
if pid == 0: shell()
seen = b""
def expect(text):
    global seen
    while text not in seen:
        try: more = os.read(terminal, 4096)
        except OSError: more = b""
        if not more: sys.exit("no %r in %r" % (text, seen))
        seen += more
expect(b"up")
os.write(terminal, b"\x1a")
expect(b"stopped")
expect(b"got CONT")
os.write(terminal, b"\x03")
expect(b"exit status 5")
assert seen.count(b"got INT") == 1, seen
PYTHON
nothing_left || t_fail "left: $(e_left)"
t_pass

t_begin "run killed with SIGKILL: the program ends, and nothing that it had started is left"
e_start run "$GHOSTCTL" run --cpus "$CPUS" -- bash -c 'echo $$; exec sleep 1000'
e_expect run "" || t_fail
program=$LINE
kill -9 "${PID[run]}"
e_end run || t_fail
e_until 20 test ! -e "/proc/$program/exe" || t_fail "the program lives"
e_until 20 eval '[ "$(enclaves)" = 0 ]' || t_fail "$("$GHOSTCTL" enclave ls)"
t_pass

t_begin "run with the agent killed in the middle: the program runs on, and run says so"
e_start run "$GHOSTCTL" run --cpus "$CPUS" -- "$E2E/population" 8
e_expect run "living 8" && e_ask run advance advanced || t_fail
kill -9 $(e_left | sed -n 's|^\([0-9]*\) .*/fifo_per_cpu_agent$|\1|p') || t_fail "no agent found: $(e_left)"
e_ask run await-own "own 8 of 8" 20 && e_ask run advance advanced 20 || t_fail "it does not run on: $(cat "$T/run.err")"
e_close run
e_end run || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
grep -q "the agent was killed by signal 9.*runs on under the ordinary scheduler" "$T/run.err" ||
  t_fail "$(cat "$T/run.err")"
t_pass

t_begin "run --keep leaves the agent; it ends when told"
"$GHOSTCTL" run --cpus "$CPUS" --keep -- true 2>"$T/err" || t_fail "exit status $?"
agent=$(sed -n 's/.*the agent (pid \([0-9]*\)).*/\1/p' "$T/err")
[ -n "$agent" ] && kill -0 "$agent" || t_fail "no agent: $(cat "$T/err")"
[ "$("$GHOSTCTL" enclave ls | grep -c online)" = 1 ] || t_fail "$("$GHOSTCTL" enclave ls)"
kill "$agent"
e_until 20 eval '[ "$(enclaves)" = 0 ]' || t_fail "$("$GHOSTCTL" enclave ls)"
t_pass

t_begin "run --stats says what was scheduled"
"$GHOSTCTL" run --cpus "$CPUS" --stats -- sh -c 'seq 1 1000 | sort >/dev/null' 2>"$T/err" || t_fail "$(cat "$T/err")"
grep -q "commits" "$T/err" || t_fail "$(cat "$T/err")"
cat "$T/err"
t_pass

t_begin "run --agent of a program that is none: one line, and nothing is left"
"$GHOSTCTL" run --agent /bin/true -- true 2>"$T/err" && t_fail "exit status 0"
grep -q "true did not start" "$T/err" || t_fail "$(cat "$T/err")"
nothing_left || t_fail
t_pass

t_begin "run --agent PATH: anybody's agent"
"$GHOSTCTL" run --agent "$E2E/preempting_agent" --cpus "$CPUS" --agent-arg=--period_us=200 -- \
  sh -c 'seq 1 1000 | sort -n | tail -n 1' >"$T/out" 2>"$T/err" || t_fail "$(cat "$T/err")"
[ "$(cat "$T/out")" = 1000 ] || t_fail "$(cat "$T/out")"
t_pass

t_begin "exec: the ghostfs is at /sys/fs/ghost, and the rest of /sys/fs is as before"
"$GHOSTCTL" exec -- cat /sys/fs/ghost/version >"$T/out" || t_fail
cmp "$T/out" "$GHOSTFS/version" || t_fail "$(cat "$T/out")"
[ "$("$GHOSTCTL" exec -- ls /sys/fs)" = "$( (ls /sys/fs; echo ghost) | sort -u)" ] || t_fail "$(ls /sys/fs)"
t_pass

# mounts TYPE:TARGET...: tries to mount that, and prints what comes of each; then its mount namespace.
mounts='
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for each in sys.argv[1:]:
    kind, target = each.split(":")
    failed = libc.mount(b"test", target.encode(), kind.encode(), 0, None)
    print(errno.errorcode[ctypes.get_errno()] if failed else "ok", end=" ")
print(os.readlink("/proc/self/ns/mnt"))
'
t_begin "exec: who mounts the ghostfs himself is told that it is there, as on a ghost kernel; other mounts are done"
for nested in "" "$GHOSTCTL exec --ghostfs $GHOSTFS --"; do
  # shellcheck disable=SC2086  # a list, or nothing
  "$GHOSTCTL" exec --ghostfs "$GHOSTFS" -- $nested /usr/bin/python3 -c "$mounts" \
    ghost:/sys/fs/ghost tmpfs:/mnt ghost:/mnt bogus:/sys/fs/ghost ghost:/sys/fs/ghost >"$T/out" || t_fail
  read -r results namespace < <(sed 's/ \([^ ]*\)$/;\1/; s/ /,/g; s/;/ /' "$T/out")
  [ "$results" = EBUSY,ok,ENODEV,ENODEV,EBUSY ] || t_fail "$(cat "$T/out")"
  in_namespace() { readlink /proc/[0-9]*/ns/mnt | grep -qxF "$namespace"; }
  e_until 10 eval '! in_namespace' || t_fail "somebody stays in $namespace"
done
t_pass

t_begin "exec: an unmodified agent serves through /sys/fs/ghost"
e_start agent "$GHOSTCTL" exec -- env -u GHOSTFS "$BIN/fifo_per_cpu_agent" --ghost_cpus "$CPUS"
e_expect agent "ghOSt active" || t_fail
"$GHOSTCTL" enclave ls | grep -q online || t_fail
e_stop agent INT || t_fail
t_pass

t_begin "enclave create, ls, destroy"
created=$("$GHOSTCTL" enclave create --cpus 0) || t_fail
[ -d "$created" ] || t_fail "no $created"
"$GHOSTCTL" enclave ls | grep -q " none .*$created" || t_fail "$("$GHOSTCTL" enclave ls)"
"$GHOSTCTL" enclave destroy "${created##*_}" || t_fail
e_until 10 test ! -e "$created" || t_fail "$created is still there"
t_pass

t_begin "enclave repair destroys what no agent serves, and only that"
e_agent agent --ghost_cpus "${CPUS%-*}" || t_fail
served=$(e_enclave_of agent)
if [ "$CPUS" = 0 ]; then t_skip "this needs two CPUs"; fi
orphan=$("$GHOSTCTL" enclave create --cpus "${CPUS#*-}") || t_fail
"$GHOSTCTL" enclave repair --dry-run | grep -q "$orphan: no agent" || t_fail
[ -d "$orphan" ] || t_fail "the dry run did it"
"$GHOSTCTL" enclave repair || t_fail
e_until 10 test ! -e "$orphan" || t_fail "$orphan is still there"
[ -d "$served" ] || t_fail "$served is gone"
t_pass

t_begin "enclave repair --adopt gives an enclave a new agent, and its tasks run on"
orphan=$("$GHOSTCTL" enclave create --cpus "${CPUS#*-}") || t_fail
e_agent doomed --enclave "$orphan" || t_fail
e_start client bash -c "echo \$\$ > $orphan/tasks && exec $E2E/population 5"
e_expect client "living 5" || t_fail
e_stop doomed KILL || t_fail
"$GHOSTCTL" enclave repair --adopt fifo_per_cpu >"$T/out" 2>&1 || t_fail "$(cat "$T/out")"
grep -q "$orphan: had no agent: served now by fifo_per_cpu_agent, process " "$T/out" || t_fail "$(cat "$T/out")"
e_ask client advance "advanced 5" || t_fail "they do not run on"
kill -INT "$(sed -n "s|^$orphan: .* process ||p" "$T/out")"
e_until 20 grep -qx "active no" "$orphan/status" || t_fail "$(cat "$orphan/status")"
echo destroy >"$orphan/ctl"
e_close client
e_end client || t_fail
t_pass

t_begin "move --cgroup takes every process of a cgroup, and of those below it"
cgroup=$(find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs -printf '%h\n' 2>/dev/null | head -n 1)/ghost_e2e_$$
mkdir -p "$cgroup/below" 2>/dev/null || t_skip "no cgroup can be made here"
if [ -d "$cgroup" ]; then
  e_start one "$E2E/population" 3
  e_start two "$E2E/population" 4
  e_expect one living && e_expect two living || t_fail
  echo "${PID[one]}" >"$cgroup/cgroup.procs"
  echo "${PID[two]}" >"$cgroup/below/cgroup.procs"
  "$GHOSTCTL" move --enclave "$served" --cgroup "$cgroup" >"$T/out" 2>&1 || t_fail "$(cat "$T/out")"
  # A running thread counts from its first stop on.
  e_until 10 grep -qx "nr_tasks 9" "$served/status" || t_fail "$(cat "$T/out" "$served/status")"
  e_ask one advance advanced && e_ask two advance advanced || t_fail
  e_close one && e_end one && e_close two && e_end two || t_fail
  rmdir "$cgroup/below" "$cgroup"
fi
t_pass

t_begin "status shows it, also as JSON"
"$GHOSTCTL" status || t_fail
"$GHOSTCTL" status --json | python3 -c '
import json, sys
status = json.load(sys.stdin)
assert status["enclaves"][0]["agent"] == "online", status
assert status["abi"] == 91, status
' || t_fail
e_stop agent INT || t_fail
t_pass

t_begin "without any kernel, run starts ghostd and stops it again"
e_needs_ghostd
e_kernel_stop
"$GHOSTCTL" run -- sh -c 'grep -qx $$ $GHOSTFS/enclave_*/tasks' || t_fail "exit status $?"
[ -z "$(e_left)" ] || t_fail "left: $(e_left)"
t_pass

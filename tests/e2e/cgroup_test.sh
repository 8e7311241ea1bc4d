#!/bin/bash
# ghostctl move --cgroup: whole cgroups of both versions, and with --follow whoever comes later.
. tests/e2e/lib.sh
. tests/e2e/env.sh

# A cgroup of this script's in each version that is mounted: V2 and V1 are its directories, or empty.
make_cgroup() { # FSTYPE [OPTION]
  local mount
  mount=$(findmnt --noheadings --list --types "$1" ${2:+--options "$2"} --output TARGET | head -n 1)
  [ -n "$mount" ] && mkdir "$mount/ghost_e2e_$$" 2>/dev/null && echo "$mount/ghost_e2e_$$"
}
V2=$(make_cgroup cgroup2)
V1=$(make_cgroup cgroup cpu)

remove_cgroups() {
  local directory
  for directory in $V1 $V2; do find "$directory" -depth -type d -exec rmdir {} + 2>/dev/null; done
}
# Nobody may be left in a cgroup that is to go.
eval "$(declare -f t_cleanup | sed '1s/t_cleanup/e_cleanup/')"
t_cleanup() {
  e_cleanup
  e_until 10 eval "remove_cgroups; ! ls -d $V1 $V2 >/dev/null 2>&1"
}

in_enclave() { e_until 10 e_in_enclave "$enclave" "$1"; }
# put NAME DIRECTORY: a process with three more threads, in a cgroup.
put() {
  e_start "$1" "$E2E/population" 3 && e_expect "$1" living && echo "${PID[$1]}" >"$2/cgroup.procs"
}
# follow DIRECTORY [OPTION...]: as the process "follow"; returns once it has taken those who are there already.
follow() {
  put "probe" "$1" || return 1
  e_start follow "$GHOSTCTL" move --enclave "$enclave" --cgroup "$@" --follow
  in_enclave "${PID[probe]}"
}
finish() { # NAME...
  local name
  for name in "$@"; do e_ask "$name" advance advanced && e_close "$name" && e_end "$name" || return 1; done
}

e_kernel
e_agent agent
enclave=$(e_enclave_of agent)

for cgroup in "$V2" "$V1"; do
  case $cgroup in "$V2") version=2 ;; *) version=1 ;; esac

  t_begin "version $version: all threads of all processes, also of cgroups below"
  [ -n "$cgroup" ] || t_skip "no cgroup of version $version can be made here"
  if [ -n "$cgroup" ]; then
    mkdir "$cgroup/below"
    put one "$cgroup" && put two "$cgroup/below" || t_fail
    "$GHOSTCTL" move --cgroup "$cgroup" >"$T/out" 2>&1 || t_fail "$(cat "$T/out")"
    grep -q "^8 threads moved into $enclave from $cgroup$" "$T/out" || t_fail "$(cat "$T/out")"
    e_until 10 grep -qx "nr_tasks 8" "$enclave/status" || t_fail "$(cat "$T/out" "$enclave/status")"
    "$GHOSTCTL" move --out --cgroup "/${cgroup##*/}" >"$T/out" 2>&1 || t_fail "$(cat "$T/out")"
    [ "$version" = 1 ] && [ -n "$V2" ] || grep -q "^8 threads moved to " "$T/out" || t_fail "$(cat "$T/out")"
    finish one two || t_fail
  fi
  t_pass

  t_begin "version $version: --follow takes who is put into it, and into cgroups that are made later"
  [ -n "$cgroup" ] || t_skip "no cgroup of version $version can be made here"
  if [ -n "$cgroup" ]; then
    follow "$cgroup" --interval 1h || t_fail "$(cat "$T/follow.err")"
    put one "$cgroup" && in_enclave "${PID[one]}" || t_fail
    mkdir "$cgroup/later" && put two "$cgroup/later" && in_enclave "${PID[two]}" || t_fail
    mkdir "$cgroup/later/last" && put three "$cgroup/later/last" && in_enclave "${PID[three]}" || t_fail
    e_until 10 grep -qx "nr_tasks 16" "$enclave/status" || t_fail "$(cat "$enclave/status")"
    kill -INT "${PID[follow]}"
    e_expect follow "threads moved into" || t_fail
    [ "$LINE" = "16 threads moved into $enclave from $cgroup" ] || t_fail "$LINE"
    e_end follow || t_fail
    [ "$STATUS" = 0 ] && [ ! -s "$T/follow.err" ] || t_fail "exit status $STATUS: $(cat "$T/follow.err")"
    finish probe one two three || t_fail
  fi
  t_pass
done

t_begin "--follow: how long it takes"
[ -n "$V1$V2" ] || t_skip "no cgroup can be made here"
if [ -n "$V1$V2" ]; then
  cgroup=${V2:-$V1}
  follow "$cgroup" || t_fail
  python3 - "$cgroup" "$enclave" 2>"$T/err" <<'PYTHON' || t_fail "$(cat "$T/err")"
import ctypes, os, struct, subprocess, sys, time
cgroup, enclave = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)

def put():
    child = subprocess.Popen(["sleep", "1000"])
    start = time.monotonic()
    with open(cgroup + "/cgroup.procs", "w") as procs: procs.write(str(child.pid))
    return child.pid, start

# clone3 with CLONE_INTO_CGROUP: nobody writes to any file. Version 2 only.
def born():
    directory = os.open(cgroup, os.O_RDONLY)
    CLONE_INTO_CGROUP, SIGCHLD = 0x200000000, 17
    args = struct.pack("11Q", CLONE_INTO_CGROUP, 0, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, directory)
    start = time.monotonic()
    pid = libc.syscall(435, args, len(args))
    if pid == 0: os.execvp("sleep", ["sleep", "1000"])
    os.close(directory)
    if pid < 0: raise OSError(ctypes.get_errno(), "clone3")
    return pid, start

for name, make in ("put into it", put), ("born into it", born):
    took = []
    for _ in range(20):
        try: pid, start = make()
        except OSError as error:
            print(name + ":", error)
            break
        while str(pid) not in open(enclave + "/tasks").read().split():
            assert time.monotonic() - start < 20, "not taken"
            time.sleep(0.0005)
        took.append((time.monotonic() - start) * 1e3)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    if took: print(f"{name}: p50 {sorted(took)[len(took) // 2]:.1f} ms, max {max(took):.1f} ms of {len(took)}")
PYTHON
  e_stop follow TERM || t_fail
  [ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/follow.err")"
  finish probe || t_fail
fi
t_pass

t_begin "--follow: processes that come and go are no failures, and numbers that come again are new"
[ -n "$V1$V2" ] || t_skip "no cgroup can be made here"
if [ -n "$V1$V2" ]; then
  cgroup=${V2:-$V1}
  follow "$cgroup" --interval 1ms || t_fail
  for i in $(seq 300); do bash -c 'echo $$ >"$1/cgroup.procs"; exec true' bash "$cgroup"; done
  e_ask probe advance advanced || t_fail
  e_stop follow INT || t_fail
  [ "$STATUS" = 0 ] && [ ! -s "$T/follow.err" ] || t_fail "exit status $STATUS: $(cat "$T/follow.err")"
  finish probe || t_fail
fi
t_pass

t_begin "--follow: what cannot be moved is said once, and counted"
[ -n "$V1$V2" ] || t_skip "no cgroup can be made here"
if [ -n "$V1$V2" ]; then
  cgroup=${V2:-$V1}
  follow "$cgroup" || t_fail
  for name in one two; do
    e_start $name sleep 1000
    e_start debugger_$name "$E2E/debugger" "${PID[$name]}"
    e_expect debugger_$name attached || t_fail
    echo "${PID[$name]}" >"$cgroup/cgroup.procs"
  done
  put three "$cgroup" && in_enclave "${PID[three]}" || t_fail
  kill -INT "${PID[follow]}"
  e_expect follow "8 threads moved into $enclave, 2 failed" || t_fail
  e_end follow || t_fail
  [ "$STATUS" = 1 ] || t_fail "exit status $STATUS"
  [ "$(wc -l <"$T/follow.err")" = 2 ] || t_fail "$(cat "$T/follow.err")"
  grep -q "held by a debugger (process ${PID[debugger_one]}) (others like it are only counted)" "$T/follow.err" ||
    t_fail "$(cat "$T/follow.err")"
  for name in one two; do e_close debugger_$name && e_end debugger_$name && e_stop $name KILL || t_fail; done
  finish probe three || t_fail
fi
t_pass

t_begin "--follow ends with the cgroup, and fails when the enclave goes"
[ -n "$V1$V2" ] || t_skip "no cgroup can be made here"
if [ -n "$V1$V2" ]; then
  cgroup=${V2:-$V1}/gone
  mkdir "$cgroup"
  follow "$cgroup" || t_fail
  finish probe || t_fail
  e_until 10 rmdir "$cgroup" || t_fail
  e_end follow || t_fail
  [ "$STATUS" = 0 ] && grep -q "$cgroup is gone" "$T/follow.err" || t_fail "$STATUS: $(cat "$T/follow.err")"
  mkdir "$cgroup"
  follow "$cgroup" || t_fail
  echo destroy >"$enclave/ctl"
  e_end follow || t_fail
  [ "$STATUS" = 1 ] && grep -q "the enclave is gone" "$T/follow.err" || t_fail "$STATUS: $(cat "$T/follow.err")"
  grep -q "^hint: " "$T/follow.err" || t_fail "$(cat "$T/follow.err")"
  finish probe || t_fail
fi
t_pass

# wrong STATUS PATTERN ARGUMENT...
wrong() {
  local wanted=$1 pattern=$2 status
  shift 2
  timeout 20 "$GHOSTCTL" move "$@" >"$T/out" 2>"$T/err"
  status=$?
  [ "$status" = "$wanted" ] || t_fail "move $*: exit status $status: $(cat "$T/out" "$T/err")"
  grep -q -e "$pattern" "$T/err" && grep -q "^hint: " "$T/err" || t_fail "move $*: $(cat "$T/err")"
}

t_begin "what is wrong is said"
wrong 1 "'no/such/cgroup' is no cgroup" --cgroup no/such/cgroup
wrong 1 "'/tmp' is no cgroup" --cgroup /tmp
wrong 1 "no cgroup of a unit 'nosuchunit.service'" --unit nosuchunit
wrong 2 "exclude each other" --cgroup x --unit y
wrong 2 "follow needs" --follow 1
wrong 2 "interval needs" --interval 1s --cgroup x
for text in 0 -1s 1us 2h never; do wrong 2 "interval '$text' is no time" --cgroup x --follow --interval "$text"; done
t_pass

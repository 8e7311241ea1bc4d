#!/bin/bash
# Bad input and bad environments: one line that says what, a hint, the documented exit status, never a backtrace.
. tests/e2e/lib.sh
. tests/e2e/env.sh

PROGRAM=$BIN/$AGENT

t_begin "--help and --version of every program work without any kernel"
for program in ghostd ghostctl fifo_per_cpu_agent simple_exp simple_edf fdsrv fdcat enclave_watcher pushtosched; do
  for flag in --help --version; do
    GHOSTFS=/nonexistent "$BIN/$program" $flag >"$T/said.out" 2>"$T/said.err" || t_fail "$program $flag: $?"
    [ -s "$T/said.out" ] || t_fail "$program $flag says nothing"
  done
  GHOSTFS=/nonexistent "$BIN/$program" --help | grep -qi example || t_fail "$program --help has no examples"
done
t_pass

t_begin "--help of every ghostctl command"
for command in doctor run exec enclave move status get set dump rpc; do
  "$GHOSTCTL" $command --help | grep -q "^examples:" || t_fail "$command"
done
t_pass

t_begin "unknown flags: usage, exit status 2"
for program in ghostd fifo_per_cpu_agent simple_exp simple_edf fdsrv fdcat; do
  t_says 2 "$program: .*nosuchflag" "$BIN/$program" --nosuchflag
done
for command in doctor run exec enclave move status get set dump rpc; do
  t_says 2 "ghostctl $command: unknown option --nosuchflag" "$GHOSTCTL" $command --nosuchflag
done
t_pass

t_begin "no ghost kernel and no ghostd: exit status 3"
if [ -d /sys/fs/ghost ] && grep -qx "nodev.ghost" /proc/filesystems; then t_skip "this is a ghost kernel"; fi
e_needs_ghostd
t_says 3 "$T/none" "$PROGRAM" --ghostfs "$T/none" --ghost_cpus 0
t_says 3 "$T/none" env GHOSTFS="$T/none" "$BIN/simple_exp"
t_says 3 "$T/none" env GHOSTFS="$T/none" "$BIN/simple_edf"
t_says 3 "$T/none" "$GHOSTCTL" enclave ls --ghostfs "$T/none"
t_says 3 "$T/none" "$GHOSTCTL" status --ghostfs "$T/none"
t_says 3 "$T/none" "$GHOSTCTL" exec --ghostfs "$T/none" -- true
t_says 3 "$T/none" "$GHOSTCTL" run --ghostfs "$T/none" -- true
t_pass

e_kernel

t_begin "--ghost_cpus that is no list of CPUs: exit status 2, and the wrong part is named"
t_says 2 "fifo_per_cpu_agent: .*ghost_cpus" "$PROGRAM" --ghost_cpus ""
t_says 2 "foo" "$PROGRAM" --ghost_cpus foo
t_says 2 "1-" "$PROGRAM" --ghost_cpus 1-
t_says 2 "3-1" "$PROGRAM" --ghost_cpus 3-1
t_says 2 "99999" "$PROGRAM" --ghost_cpus 0-99999
t_pass

t_begin "CPUs that the kernel does not have: exit status 2"
t_says 2 "500" "$PROGRAM" --ghost_cpus 500
t_pass

t_begin "CPUs that another enclave has: exit status 5, which names it"
e_agent agent || t_fail
t_says 5 "enclave_1" "$PROGRAM" --ghost_cpus "$CPUS"
t_pass

t_begin "--ghost_cpus left out: the default works on any machine"
e_stop agent INT || t_fail
e_start agent "$PROGRAM"
e_expect agent "ghOSt active" || t_fail
t_pass

t_begin "no ABI in common: both sides are named, exit status 3"
if [ "$(id -u)" != 0 ]; then t_skip "this needs a mount"; fi
echo 12 >"$T/version"
old_kernel=(unshare --mount --propagation private sh -c "mount --bind $T/version $GHOSTFS/version && exec \"\$@\"" sh)
t_says 3 "12.*69 to 91" "${old_kernel[@]}" "$PROGRAM" --ghost_cpus 0
t_says 3 "12.*69 to 91" "${old_kernel[@]}" "$GHOSTCTL" status
t_says 3 "12.*69 to 91" "${old_kernel[@]}" "$GHOSTCTL" run -- true
t_pass

t_begin "--enclave that is missing or no enclave: exit status 2"
t_says 2 "enclave_77" "$PROGRAM" --enclave "$GHOSTFS/enclave_77"
t_says 2 "$T" "$PROGRAM" --enclave "$T"
t_pass

t_begin "--enclave that another agent serves, which does not go: exit status 5"
enclave=$(e_enclave_of agent)
t_says 5 "${enclave##*/}" "$PROGRAM" --enclave "$enclave" --handover_timeout 1s
e_stop agent INT || t_fail
t_pass

t_begin "ghostd started twice at one place: exit status 5"
e_needs_ghostd
t_says 5 "already served by pid ${PID[ghostd]}" "$BIN/ghostd" --mount "$GHOSTFS"
e_agent agent || t_fail "the first ghostd suffers"
e_stop agent INT
t_pass

t_begin "not root: exit status 4"
if [ "$(id -u)" != 0 ]; then t_skip "this is not root"; fi
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
# The programs may lie where nobody else may look.
cp -L "$BIN/ghostd" "$PROGRAM" "$T/" && chmod 755 "$T" "$T/ghostd" "$T/fifo_per_cpu_agent"
t_says 4 "ermission\|not permitted" "${nobody[@]}" "$T/fifo_per_cpu_agent" --ghostfs "$GHOSTFS" --ghost_cpus 0
t_says 4 "ermission\|not permitted" "${nobody[@]}" "$T/ghostd" --mount "$T/other"
t_pass

e_kernel_stop

t_begin "a stale mount after a crash: the next ghostd takes its place"
e_needs_ghostd
e_kernel || t_fail
# Its guardian would tidy up: kill both.
guardian=$(pgrep -P "${PID[ghostd]}")
kill -9 ${guardian:+$guardian} "${PID[ghostd]}"
e_end ghostd
t_says 3 "$GHOSTFS" "$PROGRAM" --ghost_cpus 0
e_kernel || t_fail "ghostd does not start over a stale mount"
e_agent agent || t_fail
e_stop agent INT
e_kernel_stop
t_pass

# in_namespace SCRIPT COMMAND...: COMMAND in a mount namespace that SCRIPT has prepared.
in_namespace=(unshare --mount --propagation private sh -c 'eval "$1"; shift; exec "$@"' sh)

t_begin "no /dev/fuse: exit status 1 and what to do"
e_needs_ghostd
mkdir "$T/dev"
without_fuse="mount -t tmpfs none $T/dev && cp -a /dev/null /dev/zero /dev/random /dev/urandom $T/dev &&
  mkdir $T/dev/shm && mount --rbind $T/dev /dev && mount -t tmpfs none /dev/shm"
t_says 1 "/dev/fuse" "${in_namespace[@]}" "$without_fuse" "$BIN/ghostd" --mount "$T/other"
t_pass

t_begin "no room for shared memory: an error for the agent, not for ghostd"
e_needs_ghostd
e_start ghostd "${in_namespace[@]}" "mount -t tmpfs -o size=256k none /dev/shm" "$BIN/ghostd" --mount "$GHOSTFS"
e_expect ghostd serving || t_fail
t_says 1 "memory\|space" nsenter --target "${PID[ghostd]}" --mount "$PROGRAM" --ghost_cpus 0
e_stop ghostd INT || t_fail
[ "$STATUS" = 0 ] || t_fail "ghostd ended with $STATUS: $(cat "$T/ghostd.err")"
t_pass

t_begin "BPF refused: exit status 4"
e_needs_ghostd
# 39 is CAP_BPF, 38 CAP_PERFMON; CAP_SYS_ADMIN includes both.
t_says 4 "BPF" setpriv --bounding-set=-cap_39,-cap_38,-sys_admin "$BIN/ghostd" --gate=bpf --mount "$T/other"
t_pass

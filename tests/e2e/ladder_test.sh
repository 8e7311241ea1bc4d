#!/bin/bash
# Every machine gets something real: each step below ghostd with BPF, on this machine with something taken away.
#
# A "room" is a mount namespace that lacks something, and the user who is in it. WITNESS_CHECKS=N as in gating_test.sh.
. tests/e2e/lib.sh
. tests/e2e/env.sh

CHECKS=${WITNESS_CHECKS:-5000000}
NOBODY=65534
AS_NOBODY=(setpriv --reuid=$NOBODY --regid=$NOBODY --clear-groups)

e_needs_root() { [ "$(id -u)" = 0 ] || t_skip "only root can take things away"; }

# The programs, where an ordinary user may look, and a place of its own for its ghostfs.
chmod 755 "$T"
mkdir "$T/bin" "$T/own"
for program in ghostd ghostctl ghostsim fifo_per_cpu_agent simple_exp; do cp -L "$BIN/$program" "$T/bin/"; done
for program in preempting_agent witness_client eintr_client population; do cp -L "$E2E/$program" "$T/bin/"; done
chown $NOBODY:$NOBODY "$T/own"
mkdir -p "$T/repository/util" "$T/repository/kernel/usermode/sim/workloads"
cp -L util/quickstart.sh "$T/repository/util/"
cp -L kernel/usermode/sim/workloads/*.txt "$T/repository/kernel/usermode/sim/workloads/"
chmod -R a+rX "$T/repository"

ROOM=() # what puts a command into the room

# enter NAME PREPARE [COMMAND...]: PREPARE is run as root in a new mount namespace, where COMMAND... then keeps it open.
enter() {
  local name=$1 prepare=$2
  shift 2
  e_start "$name" unshare --mount --propagation private sh -c "$prepare; exec \"\$@\"" sh "$@" \
    sh -c 'echo ready; exec cat'
  e_expect "$name" ready || t_fail "the room cannot be made: $(cat "$T/$name.err")"
  ROOM=(nsenter --target "${PID[$name]}" --mount)
}
leave() {
  e_close "$1"
  e_end "$1"
}
room() { "${ROOM[@]}" "$@"; }

# Distributions let everybody open it.
open_fuse="[ -e $T/fuse ] || mknod -m 666 $T/fuse c 10 229; chmod 666 $T/fuse; mount --bind $T/fuse /dev/fuse"

# doctor STATUS STEP LIFT: what it says of the ladder.
doctor() {
  t_begin "$room: doctor says step $2 and what would lift it"
  local status
  room "$T/bin/ghostctl" doctor --ghostfs "$GHOSTFS" >"$T/doctor" 2>&1
  status=$?
  cat "$T/doctor"
  [ "$status" = "$1" ] || t_fail "exit status $status, not $1"
  grep -q -E "^(ok  |info)  ladder  *step $2 of 5: .*  ->  $3" "$T/doctor" || t_fail "another step, or no way up"
  t_pass
}

# quickstart TEXT: it ends well (simple_exp, where there is a ghostd), having said TEXT.
quickstart() {
  t_begin "$room: quickstart shows something"
  room timeout 250 "$T/repository/util/quickstart.sh" --bin "$T/bin" >"$T/out" 2>&1 </dev/null ||
    t_fail "exit status $?: $(cat "$T/out")"
  grep -q -E "$1" "$T/out" || t_fail "no '$1' in: $(cat "$T/out")"
  t_pass
}

# real: what every step with a ghostd gives.
real() {
  local violations
  t_begin "$room: ghostctl run starts a ghostd that says how it holds threads, and runs a program"
  room "$T/bin/ghostctl" run --verbose --cpus "$CPUS" -- sh -c 'seq 1 1000 | sort -n | tail -n 1' \
    >"$T/out" 2>"$T/err" || t_fail "exit status $?: $(cat "$T/err")"
  [ "$(tail -n 1 "$T/out")" = 1000 ] || t_fail "$(cat "$T/out" "$T/err")"
  grep -h "^ghostd: " "$T/out" "$T/err"
  grep -q "gate: ptrace syscall stops$" "$T/err" || t_fail "another gate: $(cat "$T/err")"
  grep -q "^ghostd: threads are held at each of their system calls, which is slower: " "$T/err" || t_fail "no reason"
  t_pass

  t_begin "$room: kill -9 ghostd leaves nothing stopped, pinned or mounted"
  e_start ghostd "${ROOM[@]}" "$T/bin/ghostd" --mount="$GHOSTFS"
  e_expect ghostd serving || t_fail
  e_start agent "${ROOM[@]}" "$T/bin/fifo_per_cpu_agent" --ghost_cpus="$CPUS"
  e_expect agent "ghOSt active" || t_fail
  e_start client "${ROOM[@]}" sh -c "echo \$\$ >$GHOSTFS/enclave_1/tasks && exec $T/bin/population 12"
  e_expect client "living 12" && e_ask client advance advanced || t_fail
  kill -9 "${PID[ghostd]}"
  e_ask client await-own "own 12 of 12 at " || t_fail "affinity or nice are not their own"
  e_runs_free "${PID[client]}" || t_fail "threads are still held"
  local threads=/proc/${PID[client]}/task
  [ "$(cat "$threads"/*/sched | grep -c '^policy  *: *0$')" = "$(ls "$threads" | wc -l)" ] ||
    t_fail "not every thread has SCHED_OTHER"
  e_ask client advance advanced || t_fail "not every thread runs on"
  e_end ghostd
  e_end agent || t_fail "the agent hangs"
  e_close client
  e_end client || t_fail
  e_until 5 eval '! room mountpoint -q "$GHOSTFS"' || t_fail "the mount is left"
  t_pass

  t_begin "$room: no violation in $CHECKS checks"
  room "$T/bin/ghostctl" run --agent "$T/bin/preempting_agent" --cpus "$CPUS" -- \
    "$T/bin/witness_client" --checks="$CHECKS" >"$T/out" 2>"$T/err" || t_fail "exit status $?: $(tail -n 5 "$T/err")"
  cat "$T/out"
  violations=$(sed -n 's/.*violations \([0-9]*\).*/\1/p' "$T/out")
  [ "$violations" = 0 ] || t_fail "$(cat "$T/out")"
  t_pass

  t_begin "$room: system calls that a stop would interrupt are not"
  room "$T/bin/ghostctl" run --agent "$T/bin/preempting_agent" --cpus "${CPUS%-*}" -- "$T/bin/eintr_client" 10 \
    >"$T/out" 2>"$T/err" </dev/null
  cat "$T/out"
  [ "$(grep -c ": 10 of 10 " "$T/out")" = 6 ] || t_fail "$(cat "$T/out" "$T/err")"
  t_pass
}

room="without BTF"
t_begin "$room: the room"
e_needs_ghostd
e_needs_root
GHOSTFS=$T/ghost
enter no_btf "mount -t tmpfs none /sys/kernel/btf" || t_fail
t_pass
doctor 0 3 "to step 2: BTF: use a kernel"
real
quickstart "^  enclave 1 commits: complete [0-9]{3}"
leave no_btf

room="as nobody"
t_begin "$room: the room"
GHOSTFS=$T/own/ghost
enter nobody "$open_fuse" "${AS_NOBODY[@]}" || t_fail
ROOM+=("${AS_NOBODY[@]}")
t_pass
doctor 0 4 "to step 2: run as root"
real
quickstart "^  enclave 1 commits: complete [0-9]{3}"
leave nobody

room="root of a user namespace"
t_begin "$room: the room"
GHOSTFS=$T/own/ghost
enter namespace "$open_fuse" "${AS_NOBODY[@]}" unshare --user --map-root-user --mount || t_fail
ROOM=("${AS_NOBODY[@]}" nsenter --target "${PID[namespace]}" --user --mount --preserve-credentials)
t_pass
doctor 0 4 "to step 2: run as root"
real
quickstart "^  enclave 1 commits: complete [0-9]{3}"
leave namespace

room="no FUSE"
t_begin "$room: the room"
GHOSTFS=$T/ghost
enter no_fuse "mkdir $T/dev && mount -t tmpfs none $T/dev && cp -a /dev/null /dev/zero /dev/urandom $T/dev &&
  mkdir $T/dev/shm && mount --rbind $T/dev /dev && mount -t tmpfs none /dev/shm" || t_fail
t_pass
doctor 3 5 "to step 3: /dev/fuse: modprobe fuse"
t_begin "$room: ghostctl run says what is missing, and points to the simulation"
room "$T/bin/ghostctl" run -- true 2>"$T/err" && t_fail "exit status 0"
cat "$T/err"
grep -q "/dev/fuse" "$T/err" && grep -q "^hint: .*ghostsim" "$T/err" || t_fail
t_pass
quickstart "cpu 1 agent runs"
leave no_fuse

#!/bin/bash
# What vm_test.sh runs inside the virtual machine: ghostd must not depend on the kernel that it was made on. Sizes are
# such that QEMU's interpreter is done in a minute.
. tests/e2e/lib.sh
. tests/e2e/env.sh
. tests/e2e/witness.sh

case ${VM_ACCEL-} in
  tcg) CHECKS=1000000 LAPS=2 ;;
  *) CHECKS=20000000 LAPS=50 ;;
esac

t_begin "ghostd loads its programs and serves on $(uname -r)"
e_kernel || t_fail
echo "$LINE"
t_pass

t_begin "simple_exp passes under a FIFO agent"
e_agent agent || t_fail
timeout 100 "$BIN/simple_exp" --scale 0.01 >"$T/exp.out" 2>"$T/exp.err" </dev/null ||
  t_fail "exit status $?: $(cat "$T/exp.out" "$T/exp.err" "$T/agent.err" "$T/ghostd.err")"
[ "$(grep -cE ' took [0-9.]+ ms$' "$T/exp.out")" = 6 ] || t_fail "$(cat "$T/exp.out")"
e_stop agent INT || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/agent.err")"
t_pass

t_begin "no violation in $CHECKS checks under an agent that preempts"
w_run "$CPUS" "$CHECKS" $LAPS 150
w_preempted 100
t_pass

t_begin "the witness sees it at once when ghostd is killed"
# Nice, so that this script gets its turns once nobody schedules the client's threads.
w_can_fail 50000 10000 nice -n 19
t_pass

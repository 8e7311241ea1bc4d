#!/bin/bash
# Gating is exact: a thread never runs an instruction of its own while the kernel says that it is off its CPU. And the
# witness that says so can fail.
#
# WITNESS_CHECKS=N makes it look N times in each run; GATE=bpf or GATE=syscall names ghostd's gate.
. tests/e2e/lib.sh
. tests/e2e/env.sh
. tests/e2e/witness.sh

CHECKS=${WITNESS_CHECKS:-$((50000000 / SLOWNESS))}
LAPS=$((100 / SLOWNESS))
PATIENCE=600

t_begin "no violation in $CHECKS checks on real CPUs $CPUS"
e_kernel || t_fail
w_run "$CPUS" "$CHECKS" $LAPS $PATIENCE
t_pass

t_begin "the agent did preempt, many times"
w_preempted $((2000 / SLOWNESS))
t_pass

t_begin "the witness counts violations once ghostd is killed"
e_needs_ghostd
w_can_fail $((1000000 / SLOWNESS)) $((5000000 / SLOWNESS))
t_pass

t_begin "no violation in $CHECKS checks on 8 virtual CPUs"
e_needs_ghostd
e_kernel --cpus=8 || t_fail
w_run 0-7 "$CHECKS" $LAPS $PATIENCE
t_pass

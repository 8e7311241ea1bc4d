#!/bin/bash
# The same workload gives the same order on the simulation (expected/, which golden_test checks) and over ghostd with
# real threads on one CPU: for workloads whose order does not depend on time. Nor on when a wake-up is seen: ghostd sees
# it as the thread leaves its system call, for which it needs a CPU (docs/usermode-kernel.md).
. tests/e2e/lib.sh
. tests/e2e/env.sh

CPUS=0
SCHEDULES=tests/schedules

# simulated FILE: who executes on CPU 0, in order, each once until another one does. A slice of no time is none.
simulated() { awk '/^cpu /{cpu=$2} $2=="-" && cpu==0 && $1<$3 && $4!=last {print $4; last=$4}' "$1"; }

t_begin "an agent on one CPU"
e_kernel && e_agent agent || t_fail "$(cat "$T"/*.err)"
t_pass

for workload in convoy slices_2 yielders; do
  t_begin "$workload: real threads run in the order of the simulation"
  simulated $SCHEDULES/expected/$workload.fifo_per_cpu.txt >"$T/simulated"
  [ -s "$T/simulated" ] || t_fail "nobody runs in $workload.fifo_per_cpu.txt"
  timeout 60 bash -c "echo \$\$ >$(e_enclave_of agent)/tasks && exec $BIN/tests/schedules/replay \
    $SCHEDULES/workloads/$workload.txt" >"$T/real" 2>"$T/replay.err" || t_fail "exit status $?: $(cat "$T/replay.err")"
  cmp -s "$T/simulated" "$T/real" || t_fail "$(diff "$T/simulated" "$T/real")"
  t_pass
done

t_begin "what depends on time is refused"
"$BIN/tests/schedules/replay" $SCHEDULES/workloads/inversion.txt 2>"$T/replay.err"
[ $? = 2 ] || t_fail "not exit status 2"
grep -q "^replay: class low does what depends on time" "$T/replay.err" || t_fail "$(cat "$T/replay.err")"
grep -q "^hint: " "$T/replay.err" || t_fail "$(cat "$T/replay.err")"
t_pass

#!/bin/bash
# The same workload gives the same order on the simulation (expected/, which golden_test checks) and over ghostd with
# real threads, under each policy: for workloads whose order does not depend on the machine's speed or load. All threads
# are there before the first of them runs, and what tells them apart (deadlines, classes, weights) does so by far.
. tests/e2e/lib.sh
. tests/e2e/env.sh

SCHEDULES=tests/schedules

# simulated FILE: who executes, in order, each once until another one does, and who ends. A slice of no time is none.
simulated() {
  awk '$2=="-" && $1<$3 && $4!=last {print "runs", $4; last=$4} $2=="-" && $5=="exited" {print "ends", $4}' "$1"
}

# replay POLICY WORKLOAD [ends]: in the enclave of `agent`; only the order of ends counts, if so said.
replay() {
  t_begin "$2: real threads run in the order of the simulation under $1"
  simulated "$SCHEDULES/expected/$2.$1.txt" | grep "^${3-}" >"$T/simulated"
  [ -s "$T/simulated" ] || t_fail "nobody runs in $2.$1.txt"
  timeout 60 "$BIN/tests/schedules/replay" "$SCHEDULES/workloads/$2.txt" "$(e_enclave_of agent)" >"$T/all" \
    2>"$T/replay.err" || t_fail "exit status $?: $(cat "$T/replay.err")"
  grep "^${3-}" "$T/all" >"$T/real"
  cmp -s "$T/simulated" "$T/real" || t_fail "$(diff "$T/simulated" "$T/real")"
  t_pass
}

# under POLICY AGENT [OPTION...]: an agent, with one CPU for tasks.
under() {
  AGENT=$2
  t_begin "an agent: $2"
  e_agent agent "${@:3}" || t_fail "$(cat "$T"/*.err)"
  t_pass
}

done_with_agent() {
  t_begin "the agent ends"
  e_stop agent INT || t_fail
  t_pass
}

t_begin "a kernel"
e_kernel --cpus=2 || t_fail "$(cat "$T"/*.err)"
t_pass

under fifo_per_cpu fifo_per_cpu_agent --ghost_cpus=0
for workload in convoy slices_2 yielders urgency handover finish; do replay fifo_per_cpu $workload; done
done_with_agent

under fifo_centralized fifo_centralized_agent --ghost_cpus=0-1
for workload in convoy urgency handover; do replay fifo_centralized $workload; done
done_with_agent

under sol agent_sol --ghost_cpus=0-1
for workload in convoy urgency handover; do replay sol $workload; done
done_with_agent

# Whoever is told of nothing but the class waits in the order of coming: no slice may end here.
under shinjuku agent_shinjuku --firstcpu=0 --ncpus=2 --preemption_time_slice=1s
replay shinjuku urgency
done_with_agent

under edf agent_exp --ghost_cpus=0-1
replay edf urgency
done_with_agent

# When somebody's slice ends depends on time; who is done first, on weights alone.
under cfs agent_cfs --ghost_cpus=0
replay cfs finish ends
done_with_agent

t_begin "what depends on time is refused"
"$BIN/tests/schedules/replay" $SCHEDULES/workloads/inversion.txt 2>"$T/replay.err"
[ $? = 2 ] || t_fail "not exit status 2"
grep -q "^replay: class low does what depends on time" "$T/replay.err" || t_fail "$(cat "$T/replay.err")"
grep -q "^hint: " "$T/replay.err" || t_fail "$(cat "$T/replay.err")"
t_pass

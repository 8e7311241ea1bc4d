#!/bin/bash
# What --pnt is for: CPUs of a global agent that takes 100 us for a pass idle between short tasks. With rings from which
# they take the next themselves they idle a third of that at most. Both are measured here, one after the other, by what
# ghostd counts: the time for which a task had the CPU.
. tests/e2e/lib.sh
. tests/e2e/env.sh

# idle OPTION...: the share of their time for which CPUs 1 to 7 had no task, with 32 threads that want them all the
# time, in IDLE; what the runtime counts, in $T/status.
idle() {
  e_kernel --cpus=8 || t_fail "$(cat "$T/ghostd.err")"
  e_start agent "$E2E/slow_fifo_agent" --ghostfs="$GHOSTFS" --ghost_cpus=all "$@"
  e_expect agent "ghOSt active" || t_fail "$(cat "$T/agent.err")"
  local enclave
  enclave=$(e_enclave_of agent)
  e_start client bash -c "echo \$\$ >$enclave/tasks && exec $E2E/short_tasks 32 50 5"
  e_until 10 grep -qx "nr_tasks 33" "$enclave/status" || t_fail "$(cat "$enclave/status")"
  IDLE=$(/usr/bin/python3 -c '
import json, time
def look():
    cpus = json.load(open("'"$GHOSTFS"'/stats"))["cpus"]
    return time.monotonic_ns(), sum(cpu["busy_ns"] for cpu in cpus if cpu["cpu"] != 0)
(start, before), _, (end, after) = look(), time.sleep(3), look()
print("%.4f" % (1 - (after - before) / (end - start) / 7))')
  "$GHOSTCTL" status >"$T/status" 2>&1
  e_expect client "done " || t_fail
  e_end client || t_fail
  e_stop agent INT || t_fail
  [ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/agent.err")"
  e_kernel_stop
}

t_begin "CPUs idle a third of the time at most if they take threads by themselves"
e_needs_ghostd
idle
without=$IDLE
grep -q "ring taken" "$T/status" && t_fail "there are rings: $(cat "$T/status")"
idle --pnt
with=$IDLE
echo "idle share of 7 CPUs: $without without, $with with --pnt"
grep -q "ring published [1-9].*ring taken [1-9]" "$T/status" || t_fail "$(cat "$T/status")"
/usr/bin/python3 -c "import sys; sys.exit(not ($without > 0.03 and 0 <= $with <= $without / 3))" ||
  t_fail "$without without, $with with --pnt"
t_pass

#!/bin/bash
# Gating is exact: a thread never runs an instruction of its own while the kernel says that it is off its CPU. And the
# witness that says so can fail.
#
# WITNESS_CHECKS=N makes it look N times in each run; GATE=bpf or GATE=syscall names ghostd's gate.
. tests/e2e/lib.sh
. tests/e2e/env.sh

CHECKS=${WITNESS_CHECKS:-50000000}

# witness NAME CPUS: one run, under the agent that preempts every 50 us.
witness() {
  e_start run "$GHOSTCTL" run --ghostfs "$GHOSTFS" --agent "$E2E/preempting_agent" --cpus "$1" --stats=json -- \
    "$E2E/witness_client" --checks="$CHECKS"
  e_expect run "checks " 600 || return 1
  echo "$LINE"
  e_end run || return 1
  local violations
  violations=$(sed 's/.*violations \([0-9]*\).*/\1/' <<<"$LINE")
  [ "$violations" = 0 ] || t_fail "$LINE"
  [ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(tail -n 5 "$T/run.err")"
  # Every kind of work got its turns.
  [ "$(sed 's/.*fewest_laps \([0-9]*\).*/\1/' <<<"$LINE")" -ge 100 ] || t_fail "too few laps: $LINE"
}

t_begin "no violation in $CHECKS checks on real CPUs $CPUS"
e_kernel || t_fail
witness "$CPUS" || t_fail "the witness came to no end"
t_pass

t_begin "the agent did preempt: thousands of times"
preempts=$(python3 - "$T/run.err" <<'PYTHON'
import json, sys
text = open(sys.argv[1]).read()
stats = json.loads(text[text.index("{"):text.rindex("}") + 1])
print(sum(cpu.get("preempts", 0) for cpu in stats.get("cpus", [])))
PYTHON
)
echo "$preempts preemptions"
[ "${preempts:-0}" -ge 2000 ] || t_fail "only ${preempts:-none}"
t_pass

t_begin "the witness counts millions once ghostd is killed"
e_needs_ghostd
# FIFO would let the computing threads have the CPUs for ever.
e_start agent "$E2E/preempting_agent" --ghost_cpus="$CPUS" --period_us=500
e_expect agent "ghOSt active" || t_fail
enclave=$(e_enclave_of agent)
e_start client bash -c "echo \$\$ > $enclave/tasks && exec $E2E/witness_client --checks=0"
e_ask client "await checks 1000000" "checks " || t_fail
[[ $LINE == *"violations 0 "* ]] || t_fail "before: $LINE"
kill -9 "${PID[ghostd]}"
e_end ghostd || t_fail
e_ask client "await violations 5000000" "violations " || t_fail "no violations seen"
echo "$LINE"
e_close client
e_end client || t_fail
[ "$STATUS" = 1 ] || t_fail "the witness's exit status is $STATUS"
e_stop agent INT
t_pass

t_begin "no violation in $CHECKS checks on 8 virtual CPUs"
e_needs_ghostd
e_kernel --cpus=8 || t_fail
witness 0-7 || t_fail "the witness came to no end"
t_pass

#!/bin/bash
# agent_biff over ghostd, besides what every agent that schedules in BPF has to pass (bpf_agent_test.sh): slices.
. tests/e2e/lib.sh
. tests/e2e/env.sh
AGENT=agent_biff

t_begin "a slice ends a turn: two computing threads on one CPU get half each"
e_kernel || t_fail
e_agent agent --ghost_cpus=0 --slice=5ms || t_fail
enclave=$(e_enclave_of agent)
spin='import time
end = time.monotonic() + 2
while time.monotonic() < end: pass
print("cpu", time.process_time(), flush=True)'
for i in 1 2; do e_start "spin$i" bash -c "echo \$\$ >$enclave/tasks && exec python3 -c '$spin'"; done
had=()
for i in 1 2; do
  e_expect "spin$i" "cpu " || t_fail
  had+=("${LINE#cpu }")
  e_end "spin$i" || t_fail
done
# Of what the two had: others may have the CPU, too.
echo "${had[*]}"
python3 -c "import sys; a, b = ${had[0]}, ${had[1]}; sys.exit(not 0.3 < a / (a + b) < 0.7)" || t_fail "${had[*]}"
preempts=$(python3 -c "import json; print(json.load(open('$GHOSTFS/stats'))['enclaves'][0]['preempts'])")
[ "$preempts" -gt 10 ] || t_fail "$preempts preemptions: $(cat "$GHOSTFS/stats")"
e_stop agent INT || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
t_pass

t_begin "a --slice that is none: exit status 2, one line, a hint"
"$BIN/$AGENT" --slice=0 >"$T/out" 2>"$T/err"
status=$?
[ "$status" = 2 ] || t_fail "exit status $status"
grep -q "^agent_biff: --slice" "$T/err" && grep -q "^hint: " "$T/err" || t_fail "$(cat "$T/err")"
t_pass

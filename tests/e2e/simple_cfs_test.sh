#!/bin/bash
# simple_cfs over ghostd, under a fair agent ($AGENT) and with a scheduler of its own; what both refuse.
AGENT=${AGENT:-agent_cfs}
. tests/e2e/lib.sh
. tests/e2e/env.sh

# simple_cfs OPTION...: its exit status; outputs in $T/cfs.out and $T/cfs.err.
simple_cfs() { timeout 250 "$BIN/simple_cfs" "$@" >"$T/cfs.out" 2>"$T/cfs.err" </dev/null; }

# refuses PROGRAM TEXT OPTION...: exit status 2, one line, a hint.
refuses() {
  local program=$1 text=$2 status
  shift 2
  timeout 60 "$BIN/$program" "$@" >"$T/refused.out" 2>"$T/refused.err" </dev/null
  status=$?
  [ "$status" = 2 ] || t_fail "$program $*: exit status $status, not 2: $(cat "$T/refused.err")"
  grep -q "^$program: .*$text" "$T/refused.err" || t_fail "$program $*: $(cat "$T/refused.err")"
  grep -q "^hint: " "$T/refused.err" || t_fail "$program $*: $(cat "$T/refused.err")"
}

# Both experiments went well.
expect_both() {
  grep -qx "SimpleNice" "$T/cfs.out" && grep -q "^shares of cpu .*: nice 0: " "$T/cfs.out" &&
    grep -qx "SimpleLoadBalancing" "$T/cfs.out" && [ "$(grep -c "each got at least" "$T/cfs.out")" = 4 ] ||
    t_fail "$(cat "$T/cfs.out")"
}

t_begin "flags out of range or against each other: exit status 2, and what would do"
for flag in --min_granularity=0 --min_granularity=-1ms --min_granularity=1s --latency=inf --wakeup_granularity=1h; do
  refuses "$AGENT" "out of range" "$flag"
done
refuses "$AGENT" "is less than --min_granularity" --latency=1ms --min_granularity=2ms
refuses simple_cfs "--window must be" --window=1us
t_pass

t_begin "shares by nice values and balanced CPUs under $AGENT"
e_kernel --cpus 4 && e_agent agent --ghost_cpus=0-3 || t_fail
simple_cfs || t_fail "$? $(cat "$T/cfs.out" "$T/cfs.err" "$T/agent.err")"
expect_both
t_pass

t_begin "an agent's end"
e_stop agent INT || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/agent.err")"
t_pass

t_begin "a scheduler of its own, that leaves nothing behind"
simple_cfs --create_enclave_and_agent --ghost_cpus=1-2 || t_fail "$? $(cat "$T/cfs.out" "$T/cfs.err")"
expect_both
[ -z "$(find "$GHOSTFS" -maxdepth 1 -name 'enclave_*')" ] || t_fail "$(ls "$GHOSTFS")"
e_kernel_stop
t_pass

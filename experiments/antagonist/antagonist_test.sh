#!/bin/bash
# The antagonist as a user starts it: what it prints, how it ends, and what its threads get under CFS and in ghost.
. tests/e2e/lib.sh
. tests/e2e/env.sh

ANTAGONIST=$BIN/antagonist

# says STATUS PATTERN WORD...: with these words it fails so.
says() { t_says "$1" "^antagonist: .*$2" "$ANTAGONIST" "${@:3}"; }

# holds EXPRESSION: of r, the result in $T/r.json.
holds() {
  /usr/bin/python3 -c "
import json, sys
r = json.load(open('$T/r.json'))
shares = [w['share'] for w in r['workers']]
runs = [w['run_duration_ns'] for w in r['workers']]
sys.exit(0 if ($1) else 1)" || t_fail "not so: $1: $(cat "$T/r.json")"
}

t_begin "bad values are usage errors"
says 2 "work_share" --work_share 1.5
says 2 "work_share" --work_share -0.1
says 2 "work_share" --work_share nan
says 2 "work_share" --work_share half
says 2 "num_threads" --num_threads -1
says 2 "num_threads" --num_threads 1000000
says 2 "experiment_duration" --experiment_duration 0s
says 2 "print_format" --print_format xml
says 2 "scheduler" --scheduler fifo
says 2 "cpus" --cpus 1-
says 2 "cpus" --cpus 900
says 2 "cpus" --scheduler ghost --cpus 0
says 3 "none" --scheduler ghost --ghostfs "$T/none"
t_pass

t_begin "under CFS: a tenth of one CPU, for as long as it should"
# A tenth is what even a busy CPU has left.
timeout 60 "$ANTAGONIST" --cpus 0 --num_threads 1 --work_share 0.1 --experiment_duration 2s --print_format json \
  >"$T/r.json" 2>"$T/err" || t_fail "exit status $?: $(cat "$T/err")"
[ "$(cat "$T/err")" = "antagonist: ready" ] || t_fail "$(cat "$T/err")"
holds "r['program'] == 'antagonist' and r['scheduler'] == 'cfs' and r['work_share'] == 0.1 and len(runs) == 1"
holds "2.0 <= r['duration_s'] < 2.0 + 0.5 * $SLOWNESS"
holds "0.1 - 0.05 <= shares[0] <= 0.12"
cat "$T/r.json"
t_pass

t_begin "a full share never sleeps, and two of them share a CPU"
timeout 60 "$ANTAGONIST" --cpus 0 --num_threads 2 --experiment_duration 1s --print_format json \
  >"$T/r.json" 2>"$T/err" || t_fail "exit status $?: $(cat "$T/err")"
holds "len(runs) == 2 and r['total']['run_duration_ns'] == sum(runs)"
holds "sum(shares) <= 1.02 and abs(r['total']['share'] - sum(shares) / 2) < 1e-5"
holds "min(shares) > 0.05"
t_pass

t_begin "SIGINT, SIGTERM: the results, exit status 0"
for signal in INT TERM; do
  e_start antagonist "$ANTAGONIST" --num_threads 3
  e_expect antagonist "antagonist: ready" || t_fail
  kill -$signal "${PID[antagonist]}"
  e_expect antagonist "Worker  Run Duration (ns)  Work Share" || t_fail
  e_expect antagonist "Total " || t_fail
  e_end antagonist && [ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
done
e_start antagonist "$ANTAGONIST" --num_threads 1 --print_format csv
e_until 20 grep -q "antagonist: ready" "$T/antagonist.err" || t_fail
kill -INT "${PID[antagonist]}"
for line in "worker,run_duration_ns,work_share" "0," "total,"; do e_expect antagonist "$line" || t_fail; done
e_end antagonist && [ "$STATUS" = 0 ] || t_fail "exit status $STATUS"
t_pass

t_begin "without an agent: it says so"
e_needs_ghostd
e_kernel --cpus=2 || t_fail
says 1 "no agent" --scheduler ghost
t_pass

t_begin "in ghost: three of them share the one CPU that the agent leaves"
e_needs_ghostd
AGENT=agent_shinjuku e_agent agent --ghost_cpus=0-1 || t_fail
timeout 60 "$ANTAGONIST" --scheduler ghost --num_threads 3 --ghost_qos 1 --experiment_duration 3s --print_format json \
  >"$T/r.json" 2>"$T/err" || t_fail "exit status $?: $(cat "$T/err")"
holds "r['scheduler'] == 'ghost' and len(runs) == 3 and sum(shares) <= 1.05"
holds "sum(shares) > 0.02 and min(runs) > max(runs) / 4"
cat "$T/r.json"
t_pass

t_begin "... and one alone, by default, keeps to its share"
e_needs_ghostd
timeout 60 "$ANTAGONIST" --scheduler ghost --work_share 0.25 --experiment_duration 2s --print_format json >"$T/r.json" \
  2>"$T/err" || t_fail "exit status $?: $(cat "$T/err")"
holds "len(runs) == 1 and 0.02 <= shares[0] <= 0.27"
cat "$T/r.json"
t_pass

t_begin "an agent that goes takes the enclave along: the results are not passed off as ghost's"
e_needs_ghostd
e_start antagonist "$ANTAGONIST" --scheduler ghost
e_expect antagonist "antagonist: ready" || t_fail
e_stop agent INT || t_fail
kill -INT "${PID[antagonist]}"
e_end antagonist && [ "$STATUS" = 1 ] || t_fail "exit status $STATUS"
grep -q "ran under CFS" "$T/antagonist.err" || t_fail "$(cat "$T/antagonist.err")"
t_pass

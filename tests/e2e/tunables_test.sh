#!/bin/bash
# ghostctl asks a running agent: get, set, dump, status; whichever agent serves the enclave, and only who may.
. tests/e2e/lib.sh
. tests/e2e/env.sh

# agent NAME [OPTION...]: one whose policy has a tunable, active when this returns.
agent() {
  local name=$1
  shift
  e_start "$name" "$E2E/preempting_agent" "$@"
  e_expect "$name" "ghOSt active"
}

# fails STATUS PATTERN COMMAND...: one line that matches, and a hint.
fails() {
  local wanted=$1 pattern=$2 status
  shift 2
  timeout 60 "$@" >"$T/out" 2>"$T/err"
  status=$?
  [ "$status" = "$wanted" ] || t_fail "exit status $status, not $wanted: $(cat "$T/out" "$T/err")"
  grep -q -e "$pattern" "$T/err" || t_fail "no '$pattern' in: $(cat "$T/err")"
  grep -q "^hint: " "$T/err" || t_fail "no hint: $(cat "$T/err")"
  [ "$(wc -l <"$T/err")" = 2 ] || t_fail "not two lines: $(cat "$T/err")"
}

e_kernel

t_begin "without an enclave, and without an agent: one line that says so"
for command in get dump "set period=1ms"; do fails 1 "there is no enclave" "$GHOSTCTL" $command; done
enclave=$("$GHOSTCTL" enclave create --cpus "$CPUS")
for command in get dump; do fails 1 "$enclave has no agent" "$GHOSTCTL" $command "$enclave"; done
fails 1 "$enclave has no agent" "$GHOSTCTL" set "$enclave" period=1ms
t_pass

t_begin "get: name, value, range and meaning; the value alone; JSON"
agent first --enclave "$enclave" --period_us=50 || t_fail
[ "$("$GHOSTCTL" get)" = "period  50us  from 1us to 999.999999ms  how long a task keeps its CPU" ] ||
  t_fail "$("$GHOSTCTL" get)"
for words in "period" "${enclave##*_} period" "${enclave##*/} period" "$enclave period"; do
  [ "$("$GHOSTCTL" get $words)" = 50us ] || t_fail "get $words: $("$GHOSTCTL" get $words)"
done
"$GHOSTCTL" get --json | python3 -c '
import json, sys
assert json.load(sys.stdin)["period"]["value"] == "50us"
' || t_fail
t_pass

t_begin "set: counts at once"
[ "$("$GHOSTCTL" set period=2ms)" = period=2ms ] || t_fail
[ "$("$GHOSTCTL" get period)" = 2ms ] || t_fail
e_start client "$E2E/population" 4
e_expect client living || t_fail
"$GHOSTCTL" move "${PID[client]}" || t_fail
"$GHOSTCTL" set "${enclave##*_}" period=100us || t_fail
e_ask client advance advanced || t_fail
t_pass

t_begin "set: what is wrong is said, and nothing is changed"
fails 2 "there is no tunable 'slice'" "$GHOSTCTL" set slice=1ms
grep -q "^hint: preempting_agent has period$" "$T/err" || t_fail "$(cat "$T/err")"
fails 2 "there is no tunable 'slice'" "$GHOSTCTL" get slice
fails 2 "out of range" "$GHOSTCTL" set period=1h
grep -q "^hint: period: from 1us to " "$T/err" || t_fail "$(cat "$T/err")"
fails 2 "out of range" "$GHOSTCTL" set period=0
fails 2 "not a time" "$GHOSTCTL" set period=5
fails 2 "not a time" "$GHOSTCTL" set period=
fails 2 "out of range" "$GHOSTCTL" set period=3ms period=1h
fails 2 "no NAME=VALUE" "$GHOSTCTL" set
fails 2 "'period' is no NAME=VALUE" "$GHOSTCTL" set period
fails 2 "'=1ms' is no NAME=VALUE" "$GHOSTCTL" set =1ms
fails 2 "enclave_77" "$GHOSTCTL" set 77 period=1ms
fails 2 "unknown option --nosuchflag" "$GHOSTCTL" set --nosuchflag
fails 2 "what is 'period'" "$GHOSTCTL" dump 1 period
[ "$("$GHOSTCTL" get period)" = 100us ] || t_fail "$("$GHOSTCTL" get)"
t_pass

t_begin "dump: the tasks that the agent knows"
"$GHOSTCTL" dump >"$T/out" || t_fail
[ "$(grep -c "^cpu .*: " "$T/out")" = "$([ "$CPUS" = 0 ] && echo 1 || echo 2)" ] || t_fail "$(cat "$T/out")"
grep -q "${PID[client]}" "$T/out" || t_fail "no ${PID[client]} in: $(cat "$T/out")"
t_pass

t_begin "rpc: requests by number"
[ "$("$GHOSTCTL" rpc "${enclave##*_}" 2)" = 5 ] || t_fail "$("$GHOSTCTL" rpc "${enclave##*_}" 2)"
[ "$("$GHOSTCTL" rpc "$enclave" 1 0)" = 0 ] || t_fail
e_until 10 grep -q "^cpu " "$T/first.err" || t_fail "no dump: $(cat "$T/first.err")"
fails 1 "does not know the request 77" "$GHOSTCTL" rpc "$enclave" 77
fails 2 "an enclave and a request's number" "$GHOSTCTL" rpc "$enclave"
fails 2 "'x' is not a whole number" "$GHOSTCTL" rpc "$enclave" 2 x
fails 2 "what is '4'" "$GHOSTCTL" rpc "$enclave" 1 2 3 4
t_pass

t_begin "status: program, tunables and counters of the agent, also as JSON"
"$GHOSTCTL" status >"$T/out" || t_fail
grep -q preempting_agent "$T/out" || t_fail "$(cat "$T/out")"
grep -q "counters: .*commits [1-9]" "$T/out" || t_fail "$(cat "$T/out")"
"$GHOSTCTL" status --json >"$T/out" || t_fail
python3 - "$T/out" "${PID[first]}" <<'PYTHON' || t_fail "$(cat "$T/out")"
import json, sys
enclave = json.load(open(sys.argv[1]))["enclaves"][0]
assert enclave["program"] == "preempting_agent", enclave
assert enclave["pid"] == int(sys.argv[2]), enclave
assert enclave["tunables"] == {"period": "100us"}, enclave
assert enclave["counters"]["commits"] > 0, enclave
rows = enclave["counters_by_cpu"]
assert enclave["counters"]["placed"] == sum(row["placed"] for row in rows) == 5, enclave
PYTHON
t_pass

t_begin "from another mount namespace, where the enclave has another path"
if [ "$(id -u)" != 0 ]; then t_skip "this needs a mount"; fi
[ "$("$GHOSTCTL" exec -- "$GHOSTCTL" get --ghostfs /sys/fs/ghost period)" = 100us ] || t_fail
t_pass

t_begin "from another network namespace: it is said"
if [ "$(id -u)" != 0 ]; then t_skip "this needs root"; fi
fails 1 "does not listen" unshare --net "$GHOSTCTL" get
t_pass

t_begin "an upgrade: the agent that serves is the one that answers"
agent_two() { e_start second "$E2E/preempting_agent" --enclave "$enclave" --period_us=70; }
agent_two && e_expect second Initializing || t_fail
[ "$("$GHOSTCTL" get period)" = 100us ] || t_fail "$("$GHOSTCTL" get)"
e_stop first INT || t_fail
e_expect second "ghOSt active" || t_fail
[ "$("$GHOSTCTL" get period)" = 70us ] || t_fail "$("$GHOSTCTL" get)"
e_ask client advance advanced || t_fail
t_pass

t_begin "an agent that was killed leaves nothing that could be asked, and the next one answers"
e_stop second KILL || t_fail
e_until 10 grep -q "active no" "$enclave/status" || t_fail
fails 1 "$enclave has no agent" "$GHOSTCTL" get
agent third --enclave "$enclave" --period_us=90 || t_fail
[ "$("$GHOSTCTL" get period)" = 90us ] || t_fail "$("$GHOSTCTL" get)"
t_pass

t_begin "an agent whose policy has no tunables"
e_stop third INT || t_fail
e_agent fifo --enclave "$enclave" || t_fail
[ "$("$GHOSTCTL" get)" = "this agent has no tunables" ] || t_fail "$("$GHOSTCTL" get)"
fails 2 "there is no tunable 'period'" "$GHOSTCTL" set period=1ms
grep -q "^hint: fifo_per_cpu_agent has none$" "$T/err" || t_fail "$(cat "$T/err")"
e_close client && e_end client || t_fail
e_stop fifo INT || t_fail
t_pass

t_begin "an agent with its hands full answers, and one that is stopped is given up"
echo destroy >"$enclave/ctl"
e_agent fifo || t_fail
child=$(pgrep -P "${PID[fifo]}")
kill -STOP "$child"
timeout 60 "$GHOSTCTL" get >"$T/out" 2>"$T/err"
status=$?
kill -CONT "$child"
[ "$status" = 1 ] || t_fail "exit status $status: $(cat "$T/err")"
grep -q "no answer in time" "$T/err" && grep -q "^hint: " "$T/err" || t_fail "$(cat "$T/err")"
"$GHOSTCTL" get || t_fail
e_stop fifo INT || t_fail
t_pass

#!/bin/bash
# simple_edf over ghostd: simple_exp's experiments and the one with hints, under AGENT. HINTS=yes: an agent that reads
# hints has to begin the periods of repeating work.
. tests/e2e/lib.sh
. tests/e2e/env.sh

EXPERIMENTS="SimpleExp SimpleExpMany BusyExp TaskDeparted TaskDepartedMany TaskDepartedManyRace SimpleRepeatable"

# simple_edf OPTION...: runs it; its exit status, outputs in $T/edf.out and $T/edf.err.
simple_edf() { timeout 250 "$BIN/simple_edf" "$@" >"$T/edf.out" 2>"$T/edf.err" </dev/null; }

# refuses STATUS TEXT OPTION...
refuses() {
  local wanted=$1 text=$2 status
  shift 2
  simple_edf "$@"
  status=$?
  [ "$status" = "$wanted" ] || t_fail "simple_edf $*: exit status $status, not $wanted: $(cat "$T/edf.err")"
  grep -q "^simple_edf: .*$text" "$T/edf.err" || t_fail "$(cat "$T/edf.err")"
  grep -q "^hint: " "$T/edf.err" || t_fail "$(cat "$T/edf.err")"
}

t_begin "every experiment says its name, what it did, and how long it took"
e_kernel && e_agent agent || t_fail
simple_edf --scale 0.05 --spin_threads 80 --spin_msec 5 || t_fail "$? $(cat "$T/edf.out" "$T/edf.err" "$T/agent.err")"
[ "$(grep -xE "${EXPERIMENTS// /|}" "$T/edf.out" | tr '\n' ' ')" = "$EXPERIMENTS " ] || t_fail "$(cat "$T/edf.out")"
[ "$(grep -cxE ' took [0-9]+\.[0-9]{2} ms' "$T/edf.out")" = 7 ] || t_fail "$(cat "$T/edf.out")"
grep -q "^4 thread(s) .* computed for 5ms each" "$T/edf.out" || t_fail "$(cat "$T/edf.out")"
grep -q "^1 thread of .* in each of 10 periods of 10ms" "$T/edf.out" || t_fail "$(cat "$T/edf.out")"
t_pass

t_begin "the periods of repeating work are begun by an agent that reads hints, and by no other"
if [ "${HINTS-}" = yes ]; then
  simple_edf --scale 0.01 --need_hints || t_fail "$? $(cat "$T/edf.out" "$T/edf.err" "$T/agent.err")"
  grep -q " 10 of them begun by its scheduler" "$T/edf.out" || t_fail "$(cat "$T/edf.out")"
else
  grep -q " 0 of them begun by its scheduler" "$T/edf.out" || t_fail "$(cat "$T/edf.out")"
  refuses 1 "has begun no period" --scale 0.01 --need_hints
fi
t_pass

t_begin "the client of docs/prio-table.md, a task from its first instruction on: its table comes later"
timeout 100 bash -c "echo \$\$ >$(e_enclave_of agent)/tasks && exec $BIN/tests/hints_client" >"$T/client.out" ||
  t_fail "exit status $?: $(cat "$T/client.out")"
[ "$(cat "$T/client.out")" = "1000 pieces of work are done" ] || t_fail "$(cat "$T/client.out")"
t_pass

t_begin "flags out of range: exit status 2"
for flag in --spin_threads=0 --spin_threads=100001 --spin_msec=0 --spin_msec=60001; do refuses 2 "between" "$flag"; done
refuses 2 "scale" --scale=1.5
t_pass

t_begin "the agent ends well, and without it there is one line and a hint"
e_stop agent INT || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/agent.err")"
refuses 1 "no agent is running"
e_kernel_stop
t_pass

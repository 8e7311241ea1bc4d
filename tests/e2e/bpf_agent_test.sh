#!/bin/bash
# An agent that schedules in BPF ($AGENT), over ghostd: its programs schedule, whatever becomes of its process;
# affinities hold; what ghostd counts.
. tests/e2e/lib.sh
. tests/e2e/env.sh

# The process that schedules: the child of the one that was started.
child_of() { pgrep -P "${PID[$1]}" | head -n 1; }

# work ENCLAVE: many short processes in the enclave; prints 1000.
work() {
  timeout 60 bash -c "echo \$\$ >$1/tasks
    for i in 1 2 3; do seq 1 1000 | sort -n | tail -n 1; done | tail -n 1"
}

# stat ENCLAVE EXPRESSION: of ghostd's `stats`, with e = the enclave's object.
stat() {
  python3 -c "
import json, sys
e = [e for e in json.load(open('$GHOSTFS/stats'))['enclaves'] if 'enclave_%d' % e['id'] == '${1##*/}'][0]
print($2)"
}

t_begin "programs schedule"
e_kernel || t_fail
e_agent agent || t_fail
enclave=$(e_enclave_of agent)
[ "$(work "$enclave")" = 1000 ] || t_fail "$(cat "$T/agent.err" "$T/ghostd.err")"
[ "$(stat "$enclave" 'e["programs"]["latched"] > 0')" = True ] || t_fail "$(stat "$enclave" e)"
for failure in failed_runs failed_effects throttled; do
  [ "$(stat "$enclave" "e['programs']['$failure']")" = 0 ] || t_fail "$(stat "$enclave" e)"
done
[ "$(stat "$enclave" 'e["commits"]')" = "{}" ] || t_fail "there were commits: $(stat "$enclave" e)"
t_pass

t_begin "ghostctl status and dump show what they have counted"
"$GHOSTCTL" status >"$T/status" 2>&1 || t_fail "$(cat "$T/status")"
grep -q "counters: .*placed [1-9]" "$T/status" || t_fail "$(cat "$T/status")"
grep -q "programs: pnt [1-9]" "$T/status" || t_fail "$(cat "$T/status")"
"$GHOSTCTL" dump >"$T/dump" 2>&1 || t_fail "$(cat "$T/dump")"
grep -q "^${AGENT#agent_}: .*picks [1-9]" "$T/dump" || t_fail "$(cat "$T/dump")"
t_pass

t_begin "affinities hold: every thread runs where it may"
[ "$CPUS" = 0-1 ] || t_skip "one CPU only"
for cpu in 0 1; do
  e_start "pinned$cpu" bash -c "echo \$\$ >$enclave/tasks && exec taskset -c $cpu python3 -c '
import os, time
end = time.monotonic() + 1.5
seen = set()
while time.monotonic() < end:
    seen.add(int(open(\"/proc/self/stat\").read().rsplit(\")\", 1)[1].split()[36]))
    if len(seen) % 2: time.sleep(0.001)
print(\"seen\", sorted(seen), flush=True)'"
done
for cpu in 0 1; do
  e_expect "pinned$cpu" "seen " || t_fail
  [ "$LINE" = "seen [$cpu]" ] || t_fail "pinned to $cpu: $LINE"
  e_end "pinned$cpu" || t_fail
done
t_pass

t_begin "scheduling goes on while the agent's process is stopped"
child=$(child_of agent)
kill -STOP "$child"
e_until 20 eval '[ "$(e_state "$child")" = T ]' || t_fail "state $(e_state "$child")"
before=$(stat "$enclave" 'e["programs"]["latched"]')
[ "$(work "$enclave")" = 1000 ] || t_fail "nothing runs while the agent is stopped"
[ "$(e_state "$child")" = T ] || t_fail "state $(e_state "$child")"
after=$(stat "$enclave" 'e["programs"]["latched"]')
[ "$after" -gt "$((before + 5))" ] || t_fail "latched: $before, then $after"
kill -CONT "$child"
[ "$(work "$enclave")" = 1000 ] || t_fail "nothing runs after SIGCONT"
t_pass

t_begin "another agent takes over, with other programs; no thread is lost"
e_start client bash -c "echo \$\$ >$enclave/tasks; while read -r line; do seq 1 1000 | sort -n | tail -n 1; done"
e_ask client go 1000 || t_fail
e_start second "$BIN/$AGENT" --enclave "$enclave"
e_expect second "Initializing" || t_fail
e_stop agent INT || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/agent.err")"
e_expect second "ghOSt active" || t_fail
e_ask client go 1000 || t_fail "the client is lost: $(cat "$T/second.err")"
t_pass

t_begin "it is killed: plain behaviour, no program stays; a third takes over"
kill -9 "$(child_of second)"
e_end second || t_fail
e_start third "$BIN/$AGENT" --enclave "$enclave"
e_expect third "ghOSt active" || t_fail "$(cat "$T/third.err")"
e_ask client go 1000 || t_fail "the client is lost"
e_close client
e_end client || t_fail
t_pass

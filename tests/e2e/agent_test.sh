#!/bin/bash
# The agent's own life: killed, ended, replaced. Its tasks live on in every case.
#
# TIMES=N repeats what is repeated so often; AGENT=NAME is the agent's program, AGENT_OPTIONS its options.
. tests/e2e/lib.sh
. tests/e2e/env.sh

TIMES=${TIMES:-20}
THREADS=24

# population THREADS DIR: a client of so many threads in the enclave.
population() {
  e_start client bash -c "echo \$\$ > $2/tasks && exec $E2E/population $1"
  e_expect client "living $1" && e_ask client advance advanced
}

# How many tasks the enclave has.
tasks() { sed -n 's/^nr_tasks //p' "$1/status"; }

t_begin "$TIMES times kill -9 the agent: the enclave stays, and a new agent takes over every task"
e_kernel && e_agent agent || t_fail
enclave=$(e_enclave_of agent)
population "$THREADS" "$enclave" || t_fail
for ((i = 1; i <= TIMES; i++)); do
  e_stop agent KILL || { t_fail "round $i: the agent's process stays"; break; }
  [ -d "$enclave" ] || { t_fail "round $i: the enclave is gone"; break; }
  e_agent agent --enclave "$enclave" || { t_fail "round $i: no takeover"; break; }
  e_ask client advance advanced 20 || { t_fail "round $i: not every thread runs on"; break; }
  [ "$(tasks "$enclave")" = $((THREADS + 1)) ] || { t_fail "round $i: $(cat "$enclave/status")"; break; }
done
t_pass

for signal in INT TERM; do
  t_begin "SIG$signal ends an agent gracefully; an enclave that it joined stays"
  e_stop agent "$signal" || t_fail
  [ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/agent.err")"
  [ -d "$enclave" ] || t_fail "the enclave is gone"
  grep -qx "active no" "$enclave/status" || t_fail "$(cat "$enclave/status")"
  e_agent agent --enclave "$enclave" || t_fail
  e_ask client advance advanced 20 || t_fail "not every thread runs on"
  t_pass
done
echo destroy >"$enclave/ctl"
e_end agent
e_close client
e_end client

for signal in INT TERM; do
  t_begin "SIG$signal to an agent that made its enclave: the enclave is gone, its tasks are in CFS"
  e_agent agent || t_fail
  enclave=$(e_enclave_of agent)
  population 8 "$enclave" || t_fail
  kill "-$signal" "${PID[agent]}"
  e_expect agent "Done!" || t_fail "no Done!"
  e_end agent || t_fail
  [ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/agent.err")"
  e_until 5 test ! -e "$enclave" || t_fail "$enclave is still there"
  e_ask client await-own "own 8 of 8" 10 || t_fail "$LINE"
  e_runs_free "${PID[client]}" || t_fail "threads are still held"
  e_ask client advance advanced 10 || t_fail "not every thread runs on"
  e_close client
  e_end client || t_fail
  t_pass
done

t_begin "upgrade: a second agent waits for the first and takes over 200 live threads"
e_agent old || t_fail
enclave=$(e_enclave_of old)
population 200 "$enclave" || t_fail
e_start new "$BIN/$AGENT" "${AGENT_OPTIONS[@]}" --enclave "$enclave"
e_expect new "Initializing..." || t_fail
e_ask client advance advanced || t_fail "the new agent disturbs before its time"
before=$(t_now_ms)
kill -INT "${PID[old]}"
e_expect new "ghOSt active" || t_fail "no takeover: $(cat "$T/new.err")"
active=$(t_now_ms)
e_ask client advance advanced 20 || t_fail "not every thread runs on"
echo "blackout by the clock: $((active - before)) ms from the signal to 'active'; every thread had run $LINE later"
e_end old || t_fail
[ "$STATUS" = 0 ] || t_fail "the old agent's exit status is $STATUS: $(cat "$T/old.err")"
cat "$T/new.err"
[ "$(tasks "$enclave")" = 201 ] || t_fail "tasks were lost: $(cat "$enclave/status")"
t_pass

t_begin "… and none is lost when the client ends"
e_close client
e_expect client "finished 200" || t_fail
e_end client || t_fail
e_until 5 eval "[ \$(tasks $enclave) = 0 ]" || t_fail "$(cat "$enclave/status")"
echo destroy >"$enclave/ctl"
e_end new || t_fail
t_pass

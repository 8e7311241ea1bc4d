#!/bin/bash
# An agent that schedules in BPF ($AGENT), whose maps somebody else writes into; and one beside it, who must not notice.
. tests/e2e/lib.sh
. tests/e2e/env.sh
. tests/hostile/hostile.sh

h_kernel --cpus 4
victim_of() { pgrep -P "${PID[$1]}" | head -n 1; }

# Threads that work and sleep under the agent, on the CPUs that only ghostd has.
victim() {
  e_agent agent --ghost_cpus 2-3 || return 1
  ENCLAVE=$(e_enclave_of agent)
  e_start load bash -c "echo \$\$ >$ENCLAVE/tasks && echo running && exec $HOSTILE/hostile_client \
    --attack=thread_storm --enclave=$ENCLAVE"
  e_expect load running 20
}
# … are ordinary ones again, and come to their end.
victim_ends() {
  h_destroy_all >"$T/well" || { t_fail "$(cat "$T/well")"; return 1; }
  e_end load 60 || { t_fail "its threads are lost: $(h_look "${PID[load]}")"; return 1; }
}
scribble() { "$HOSTILE/hostile_maps" "$(victim_of agent)" "$1" >"$T/maps" 2>&1 || t_fail "$(cat "$T/maps")"; }

t_begin "noise all over its maps: ghostd goes on, and so does another enclave"
victim || t_fail
e_agent other --ghost_cpus 0-1 && h_client client "$(e_enclave_of other)" || t_fail
scribble 3
cat "$T/maps"
h_answers || t_fail "ghostd does not answer"
e_ask client advance advanced 30 || t_fail "the other enclave's threads stand still"
e_stop other INT 20 && [ "$STATUS" = 0 ] || t_fail "the other agent ends with $STATUS"
e_stop agent KILL || t_fail
victim_ends && h_well && t_pass

t_begin "… and it ends as it should afterwards"
victim || t_fail
scribble 1
e_stop agent INT 30 || { e_stop agent KILL; t_fail "it does not end"; }
[ "$STATUS" = 0 ] || t_fail "it ends with $STATUS: $(cat "$T/agent.err")"
victim_ends && h_well && t_pass

t_begin "other programs are at its hooks, and do not go: one line, a hint, exit status 5; the next one can"
h_attacker attacker bpf_heir || t_fail
e_ask attacker attack attacked 20 && e_stop attacker KILL || t_fail
t_says 5 "^$AGENT: cannot attach .* to $ENCLAVE: .*busy" "$BIN/$AGENT" --enclave "$ENCLAVE"
h_well && t_pass

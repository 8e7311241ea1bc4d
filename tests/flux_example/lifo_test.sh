#!/bin/bash
# The sub-scheduler that docs/flux.md adds to agent_flux: who came last is next.
. tests/e2e/lib.sh
. tests/e2e/env.sh
AGENT=tests/flux_example/agent_flux

# in_order LEAF: three threads for one CPU: one that has it, then two that wait, each of which says its name when it
# gets it. Leaves what they have said in $SAID.
in_order() {
  e_agent agent --ghost_cpus=0 --slice=1h --tree="roci($1, idle)" || t_fail "$(cat "$T/agent.err")"
  local enclave name
  enclave=$(e_enclave_of agent)
  : >"$T/order"
  e_start holder bash -c "echo \$\$ >$enclave/tasks && exec python3 -c '
import select, sys, time
print(\"runs\", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end and not select.select([sys.stdin], [], [], 0)[0]: pass'"
  e_expect holder runs || t_fail
  for name in first second; do
    e_start "$name" bash -c "exec 3>>$T/order; echo \$\$ >$enclave/tasks; echo $name >&3"
    e_until 20 e_in_enclave "$enclave" "${PID[$name]}" || t_fail "$(cat "$enclave/tasks")"
  done
  [ ! -s "$T/order" ] || t_fail "somebody else ran, too: $(cat "$T/order")"
  e_tell holder stop
  for name in holder first second; do e_end "$name" || t_fail; done
  e_stop agent INT || t_fail
  SAID=$(tr '\n' ' ' <"$T/order")
}

t_begin "under biff who came first is next"
e_kernel || t_fail
in_order biff
[ "$SAID" = "first second " ] || t_fail "$SAID"
t_pass

t_begin "under lifo who came last is next"
in_order lifo
[ "$SAID" = "second first " ] || t_fail "$SAID"
t_pass

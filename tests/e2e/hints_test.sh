#!/bin/bash
# Hints of a real program under AGENT: urgent work takes the only CPU from a thread that never sleeps.
. tests/e2e/lib.sh
. tests/e2e/env.sh

# urgent PIECES QOS DEADLINE_US SECONDS: runs the client.
urgent() {
  timeout 100 "$E2E/urgent_client" "$@" >"$T/out" 2>"$T/err" </dev/null
}

t_begin "an agent without hints leaves the CPU to the thread that has it"
e_needs_ghostd
e_kernel --cpus=2 || t_fail
AGENT=fifo_centralized_agent e_agent agent --ghost_cpus=0-1 || t_fail
urgent 1 2 1000 3 && t_fail "who has told it? $(cat "$T/out")"
grep -qx "done 0 of 1, .*" "$T/out" || t_fail "$(cat "$T/out" "$T/err")"
e_stop agent INT || t_fail
t_pass

t_begin "a higher quality of service takes it for each piece of work, and gives it back"
e_agent agent --ghost_cpus=0-1 || t_fail
urgent 100 2 0 40 || t_fail "$? $(cat "$T/out" "$T/err")"
grep -qx "done 100 of 100, .*" "$T/out" || t_fail "$(cat "$T/out" "$T/err")"
cat "$T/out"
t_pass

if [ "$AGENT" = agent_exp ]; then
  t_begin "of the same quality of service a deadline takes it"
  urgent 100 0 1000 40 || t_fail "$? $(cat "$T/out" "$T/err")"
  cat "$T/out"
  t_pass

  t_begin "... unless deadlines do not preempt"
  "$GHOSTCTL" set preempt_earlier_deadline=false >"$T/out" 2>&1 || t_fail "$(cat "$T/out")"
  urgent 1 0 1000 3 && t_fail "it did: $(cat "$T/out")"
  grep -qx "done 0 of 1, .*" "$T/out" || t_fail "$(cat "$T/out" "$T/err")"
  t_pass
fi

t_begin "the agent ends well"
e_stop agent INT || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/agent.err")"
e_kernel_stop || t_fail
t_pass

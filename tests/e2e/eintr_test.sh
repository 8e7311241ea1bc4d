#!/bin/bash
# System calls that a ptrace stop would interrupt are not: a program under ghost sees what it would see without.
. tests/e2e/lib.sh
. tests/e2e/env.sh

ROUNDS=${ROUNDS:-20}

# each AGENT CPUS: a case for every call, under this agent.
each() {
  local name line
  "$GHOSTCTL" run --ghostfs "$GHOSTFS" --agent "$2" --cpus "$3" -- "$E2E/eintr_client" "$ROUNDS" \
    >"$T/lines" 2>"$T/errors" </dev/null
  for name in epoll_wait "recv with timeout" sigtimedwait nanosleep select; do
    t_begin "$name under $1"
    line=$(grep "^$name: " "$T/lines") || t_fail "no result; errors: $(cat "$T/errors")"
    [ "$line" = "$name: $ROUNDS of $ROUNDS undisturbed, handler interrupts" ] || t_fail "$line"
    t_pass
  done
  t_begin "a masked SIGCONT under $1"
  line=$(grep "^masked SIGCONT: " "$T/lines") || t_fail "no result; errors: $(cat "$T/errors")"
  [ "$line" = "masked SIGCONT: $ROUNDS of $ROUNDS delivered once" ] || t_fail "$line"
  t_pass
}

e_kernel
each "the agent that preempts every 50 us" "$E2E/preempting_agent" "${CPUS%-*}"
each "the FIFO agent" "$BIN/fifo_per_cpu_agent" "$CPUS"

#!/bin/bash
# What vm_test.sh runs inside the virtual machine: ghostd must not depend on the kernel that it was made on. Sizes are
# such that QEMU's interpreter is done in a minute.
. tests/e2e/lib.sh
. tests/e2e/env.sh

case ${VM_ACCEL-} in
  tcg) CHECKS=1000000 LAPS=2 ;;
  *) CHECKS=20000000 LAPS=50 ;;
esac

t_begin "ghostd loads its programs and serves on $(uname -r)"
e_kernel || t_fail
echo "$LINE"
t_pass

t_begin "simple_exp passes under a FIFO agent"
e_agent agent || t_fail
timeout 100 "$BIN/simple_exp" --scale 0.01 >"$T/exp.out" 2>"$T/exp.err" </dev/null ||
  t_fail "exit status $?: $(cat "$T/exp.out" "$T/exp.err" "$T/agent.err" "$T/ghostd.err")"
[ "$(grep -cE ' took [0-9.]+ ms$' "$T/exp.out")" = 6 ] || t_fail "$(cat "$T/exp.out")"
e_stop agent INT || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/agent.err")"
t_pass

t_begin "no violation in $CHECKS checks under an agent that preempts"
e_start run "$GHOSTCTL" run --ghostfs "$GHOSTFS" --agent "$E2E/preempting_agent" --cpus "$CPUS" --stats=json -- \
  "$E2E/witness_client" --checks="$CHECKS"
e_expect run "checks " 150 || t_fail "the witness came to no end"
echo "$LINE"
[[ $LINE == *"violations 0 "* ]] || t_fail "$LINE"
[ "$(sed 's/.*fewest_laps \([0-9]*\).*/\1/' <<<"$LINE")" -ge $LAPS ] || t_fail "too few laps: $LINE"
e_end run || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(tail -n 5 "$T/run.err")"
preempts=$(grep -o '"preempts": *[0-9]*' "$T/run.err" | awk '{ sum += $NF } END { print sum + 0 }')
echo "$preempts preemptions"
[ "$preempts" -ge 100 ] || t_fail "only $preempts preemptions"
t_pass

t_begin "the witness sees it at once when ghostd is killed"
e_start agent "$E2E/preempting_agent" --ghost_cpus="$CPUS" --period_us=500
e_expect agent "ghOSt active" || t_fail
enclave=$(e_enclave_of agent)
# Nice, so that this script gets its turns once nobody schedules the client's threads.
e_start client bash -c "echo \$\$ > $enclave/tasks && exec nice -n 19 $E2E/witness_client --checks=0"
e_ask client "await checks 50000" "checks " || t_fail
[[ $LINE == *"violations 0 "* ]] || t_fail "before: $LINE"
kill -9 "${PID[ghostd]}"
e_end ghostd || t_fail
e_ask client "await violations 10000" "violations " || t_fail "no violations seen"
echo "$LINE"
e_close client
e_end client || t_fail
[ "$STATUS" = 1 ] || t_fail "the witness's exit status is $STATUS"
e_stop agent INT
t_pass

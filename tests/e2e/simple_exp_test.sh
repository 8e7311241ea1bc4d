#!/bin/bash
# simple_exp over ghostd: its six experiments, on real and on virtual CPUs, with the oldest and the newest ABI.
. tests/e2e/lib.sh
. tests/e2e/env.sh

EXPERIMENTS="SimpleExp SimpleExpMany BusyExp TaskDeparted TaskDepartedMany TaskDepartedManyRace"

# simple_exp OPTION...: runs it; its exit status, outputs in $T/exp.out and $T/exp.err.
simple_exp() { timeout 250 "$BIN/simple_exp" "$@" >"$T/exp.out" 2>"$T/exp.err" </dev/null; }

# passes OPTION...: every experiment says its name, what it did, and how long it took.
passes() {
  simple_exp "$@" || t_fail "exit status $?: $(cat "$T/exp.out" "$T/exp.err" "$T/agent.err" "$T"/ghostd.err)"
  [ "$(grep -xE "${EXPERIMENTS// /|}" "$T/exp.out" | tr '\n' ' ')" = "$EXPERIMENTS " ] || t_fail "$(cat "$T/exp.out")"
  [ "$(grep -cxE ' took [0-9]+\.[0-9]{2} ms' "$T/exp.out")" = 6 ] || t_fail "$(cat "$T/exp.out")"
  local line
  for line in "Starting simple worker" "Finished simple worker"; do
    [ "$(grep -cx "$line" "$T/exp.out")" = 2 ] || t_fail "no '$line' in: $(cat "$T/exp.out")"
  done
  for line in "hello world!" "fantastic nap!" "hello from CFS!"; do
    grep -qx "$line" "$T/exp.err" || t_fail "no '$line' in: $(cat "$T/exp.err")"
  done
}

t_begin "by itself it finds the enclave with an agent, and passes"
e_kernel && e_agent agent || t_fail
passes
cat "$T/exp.out"
t_pass

t_begin "the enclave may be named, by its directory, its name, or GHOST_ENCLAVE"
enclave=$(e_enclave_of agent)
passes --enclave "$enclave" --scale 0.01
passes --enclave "${enclave##*/}" --scale 0.01
GHOST_ENCLAVE=$enclave passes --scale 0.01
t_pass

t_begin "afterwards the enclave is empty, and the agent ends well"
grep -qx "nr_tasks 0" "$enclave/status" || t_fail "$(cat "$enclave/status")"
e_stop agent INT || t_fail
[ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/agent.err")"
t_pass

t_begin "without an agent: one line, a hint, exit status 1"
simple_exp
status=$?
[ "$status" = 1 ] || t_fail "exit status $status"
grep -q "^simple_exp: no agent is running" "$T/exp.err" || t_fail "$(cat "$T/exp.err")"
grep -q "^hint: " "$T/exp.err" || t_fail "$(cat "$T/exp.err")"
t_pass

t_begin "with a dead agent it does not hang: exit status 1 after --timeout"
e_agent agent || t_fail
enclave=$(e_enclave_of agent)
kill -9 "${PID[agent]}"
e_end agent || t_fail
simple_exp --enclave "$enclave" --timeout 500ms
status=$?
[ "$status" = 1 ] || t_fail "exit status $status: $(cat "$T/exp.out" "$T/exp.err")"
grep -q "^simple_exp: SimpleExp: not over after" "$T/exp.err" || t_fail "$(cat "$T/exp.err")"
echo destroy >"$enclave/ctl"
t_pass

t_begin "a --scale that makes no sense: exit status 2"
e_agent agent || t_fail
simple_exp --scale 2
status=$?
[ "$status" = 2 ] || t_fail "exit status $status"
e_stop agent INT || t_fail
e_kernel_stop
t_pass

for options in "--cpus=8" "--abi=69"; do
  t_begin "it passes with ghostd $options"
  e_needs_ghostd
  e_kernel "$options" || t_fail
  e_agent agent --ghost_cpus=all || t_fail
  passes --scale 0.1
  e_stop agent INT || t_fail
  [ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(cat "$T/agent.err")"
  e_kernel_stop
  t_pass
done

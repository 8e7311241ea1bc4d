#!/bin/bash
# ghostctl run --policy NAME, for every name that its help lists; and what it sets of each.
. tests/e2e/lib.sh
. tests/e2e/env.sh

policies=$("$GHOSTCTL" run --help | sed -n '/^policies:/,/^$/s/^  \([a-z_]*\) .*/\1/p')

# wrong STATUS PATTERN ARGUMENT...: ghostctl run says so, before it has started anything.
wrong() {
  local wanted=$1 pattern=$2 status
  shift 2
  timeout 60 "$GHOSTCTL" run "$@" -- true >"$T/out" 2>"$T/err"
  status=$?
  [ "$status" = "$wanted" ] || t_fail "run $*: exit status $status: $(cat "$T/err")"
  grep -q -e "$pattern" "$T/err" && grep -q "^hint: " "$T/err" || t_fail "run $*: $(cat "$T/err")"
  [ -z "$(e_left)" ] || t_fail "run $* has started: $(e_left)"
}

t_begin "there are policies"
[ "$(wc -w <<<"$policies")" -ge 7 ] || t_fail "$policies"
t_pass

t_begin "a centralized policy needs two CPUs: said before ghostd is started"
e_needs_ghostd
for policy in fifo_centralized sol shinjuku edf exp agent_exp; do
  wrong 2 "--policy [a-z_]* needs two CPUs or more" --policy $policy --cpus 0
done
t_pass

t_begin "an unknown policy: those that there are"
wrong 2 "there is no policy 'nosuch'" --policy nosuch
for policy in $policies; do grep -q "^hint: .*$policy" "$T/err" || t_fail "no $policy in: $(cat "$T/err")"; done
t_pass

# Four CPUs on any machine: virtual ones.
if $E_OWN_KERNEL; then e_kernel --cpus 4 && cpus=0-3; else cpus=$CPUS; fi

for policy in $policies; do
  t_begin "run --policy $policy, and what can be set of it"
  "$GHOSTCTL" run --policy "$policy" --cpus "$cpus" --keep -- sh -c 'seq 1 1000 | sort -n | tail -n 1' \
    >"$T/out" 2>"$T/err" || t_fail "exit status $?: $(cat "$T/out" "$T/err")"
  [ "$(cat "$T/out")" = 1000 ] || t_fail "$(cat "$T/out")"
  agent=$(sed -n 's/.*the agent (pid \([0-9]*\)).*/\1/p' "$T/err")
  "$GHOSTCTL" get --json >"$T/tunables" || t_fail
  cat "$T/tunables"
  # What it shows it takes.
  python3 - "$T/tunables" >"$T/assignments" <<'PYTHON' || t_fail "$(cat "$T/tunables")"
import json, sys
for name, tunable in json.load(open(sys.argv[1])).items():
    assert tunable["range"] and tunable["what"], name
    print(name + "=" + tunable["value"])
PYTHON
  while read -r assignment; do
    [ "$("$GHOSTCTL" set "$assignment")" = "$assignment" ] || t_fail "$assignment"
  done <"$T/assignments"
  "$GHOSTCTL" dump | grep -q . || t_fail "no dump"
  kill "${agent:?}"
  e_until 20 eval '[ -z "$("$GHOSTCTL" enclave ls | grep enclave_)" ]' || t_fail "$("$GHOSTCTL" enclave ls)"
  t_pass
done

# The witness as scripts use it: threads that ask in every turn whether they run although the kernel says that they are
# off their CPU (witness.h). Source lib.sh and env.sh first; a kernel must be there.

# w_run CPUS CHECKS LAPS SECONDS: one run under the agent that preempts all the time. No violation, and at least LAPS
# turns for every kind of work.
w_run() {
  e_start run "$GHOSTCTL" run --ghostfs "$GHOSTFS" --agent "$E2E/preempting_agent" --cpus "$1" --stats=json -- \
    "$E2E/witness_client" --checks="$2"
  e_expect run "checks " "$4" || { t_fail "the witness came to no end"; return 1; }
  echo "$LINE"
  e_end run || { t_fail; return 1; }
  [[ $LINE == *"violations 0 "* ]] || t_fail "$LINE"
  [ "$STATUS" = 0 ] || t_fail "exit status $STATUS: $(tail -n 5 "$T/run.err")"
  [ "$(sed 's/.*fewest_laps \([0-9]*\).*/\1/' <<<"$LINE")" -ge "$3" ] || t_fail "too few laps: $LINE"
}

# w_preempted LEAST: how often the agent preempted in the last w_run.
w_preempted() {
  local preempts
  preempts=$(python3 - "$T/run.err" <<'PYTHON'
import json, sys
text = open(sys.argv[1]).read()
stats = json.loads(text[text.index("{"):text.rindex("}") + 1])
print(sum(cpu.get("preempts", 0) for cpu in stats.get("cpus", [])))
PYTHON
)
  echo "$preempts preemptions"
  [ "${preempts:-0}" -ge "$1" ] || t_fail "only ${preempts:-none}"
}

# w_can_fail CHECKS VIOLATIONS [COMMAND…]: after CHECKS without a violation ghostd is killed, and so many violations
# follow. The client is run by COMMAND, if given. FIFO would let its computing threads have the CPUs for ever.
w_can_fail() {
  local checks=$1 violations=$2 enclave
  shift 2
  e_start agent "$E2E/preempting_agent" --ghost_cpus="$CPUS" --period_us=500
  e_expect agent "ghOSt active" || t_fail
  enclave=$(e_enclave_of agent)
  e_start client bash -c "echo \$\$ > $enclave/tasks && exec $* $E2E/witness_client --checks=0"
  e_ask client "await checks $checks" "checks " || t_fail
  [[ $LINE == *"violations 0 "* ]] || t_fail "before: $LINE"
  kill -9 "${PID[ghostd]}"
  e_end ghostd || t_fail
  e_ask client "await violations $violations" "violations " || t_fail "no violations seen"
  echo "$LINE"
  e_close client
  e_end client || t_fail
  [ "$STATUS" = 1 ] || t_fail "the witness's exit status is $STATUS"
  e_stop agent INT
}

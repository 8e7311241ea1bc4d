#!/bin/bash
# Real programs under every policy, for a while, over a ghostd that checks itself (--check); the witness is among them.
#
#     tests/soak/soak.sh [--seconds S] [--cpus LIST] [--policy P]...
#
# For each policy: process and thread churn, changes of affinity, futexes and yields (stress-ng), message passing
# (hackbench, with processes and with threads), a parallel build (g++), and the witness, all at once in one enclave,
# each started anew until S seconds (60) are over. At the end everything must have ended well, the witness and the
# checker have seen no violation, and the postconditions of tests/hostile hold.
. tests/e2e/lib.sh
. tests/e2e/env.sh
. tests/hostile/hostile.sh

# By name: the agent's program, with its options. A new policy adds a line. (Over ghostd a switch takes tens of
# microseconds, so that the loads would not come to an end in slices of 50.)
declare -A S_AGENTS=(
  [fifo_per_cpu]="$BIN/fifo_per_cpu_agent"
  [fifo_centralized]="$BIN/fifo_centralized_agent"
  [fifo_centralized_pnt]="$BIN/fifo_centralized_agent --pnt"
  [sol]="$BIN/agent_sol"
  [cfs]="$BIN/agent_cfs"
  [biff]="$BIN/agent_biff --slice=2ms"
  [cfs_bpf]="$BIN/agent_cfs_bpf"
  [flux]="$BIN/agent_flux --slice=2ms --tree=roci(prov(biff,biff),idle)"
  [exp]="$BIN/agent_exp"
  [shinjuku]="$BIN/agent_shinjuku --preemption_time_slice=500us"
)

SOAK_SECONDS=${SOAK_SECONDS:-60}
S_POLICIES=()
S_JOBS=4
# What may pass beyond the end of the time until the last round of a load is over.
S_PATIENCE=120

s_usage() {
  echo "soak.sh: $1" >&2
  echo "hint: soak.sh [--seconds S] [--cpus LIST] [--policy P]...; policies: ${!S_AGENTS[*]}" >&2
  trap - EXIT
  rm -rf "$T"
  exit 2
}

while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || s_usage "$1: what is its value?"
  case $1 in
    --seconds) SOAK_SECONDS=$2 ;;
    --cpus) CPUS=$2 ;;
    --policy) S_POLICIES+=("$2") ;;
    *) s_usage "unknown option $1" ;;
  esac
  shift 2
done
case $SOAK_SECONDS in '' | *[!0-9]* | 0) s_usage "--seconds $SOAK_SECONDS: not a number of seconds" ;; esac
[ ${#S_POLICIES[@]} -gt 0 ] || S_POLICIES=("${!S_AGENTS[@]}")
for policy in "${S_POLICIES[@]}"; do [ -n "${S_AGENTS[$policy]-}" ] || s_usage "--policy $policy: unknown"; done

# The sources of the parallel build: files that take a compiler about a second each.
s_make_sources() {
  local i
  mkdir -p "$T/build"
  for i in $(seq "$S_JOBS") ; do
    cat >"$T/build/file$i.cc" <<CC
#include <algorithm>
#include <map>
#include <string>
#include <vector>
std::map<std::string, std::vector<int>> table$i;
int sum$i(int n) {
  auto& entry = table$i[std::to_string(n)];
  for (int i = 0; i < n; ++i) entry.push_back(i * $i);
  std::sort(entry.begin(), entry.end());
  return std::count_if(entry.begin(), entry.end(), [](int value) { return value % 2 == 0; });
}
CC
  done
}

# s_load NAME ROUND...: the shell command ROUND, over and over inside the enclave until the time is up. It says
# "rounds N" at the end; the first round that fails ends it with its status.
s_load() {
  local name=$1
  shift
  e_start "$name" bash -c "echo \$\$ >$ENCLAVE/tasks && rounds=0
    while [ \$(date +%s) -lt $S_END ]; do
      { $*; } >$T/$name.log 2>&1 || exit
      rounds=\$((rounds + 1))
    done
    echo rounds \$rounds"
  S_LOADS+=("$name")
}

s_start_loads() {
  S_LOADS=()
  # One kind at a time, for a second: under a policy without preemption, those that never block keep their CPU so long.
  s_load stress 'set -- fork affinity futex yield pthread; shift $((rounds % 5)); stress-ng --$1 2 --timeout 1'
  s_load hackbench_processes "hackbench -g 2 -f 5 -l 100"
  s_load hackbench_threads "hackbench -T -g 2 -f 5 -l 100"
  s_load build "cd $T/build && printf '%s\\n' file*.cc | xargs -P $S_JOBS -I{} g++ -O1 -c {} -o {}.o"
  # Its violations are its exit status; its totals are added up from a file.
  s_load witness "$E2E/witness_client --checks=400000 >>$T/witness.totals"
}

# s_count EXPRESSION: of ghostd's stats.
s_count() {
  python3 -c 'import json, sys
stats = json.load(open(sys.argv[1]))
enclaves = stats["enclaves"]
print(eval(sys.argv[2]))' "$GHOSTFS/stats" "$1"
}

s_soak() {
  local policy=$1 name checks violations
  h_kernel || { t_fail "no ghostd"; return; }
  e_start agent ${S_AGENTS[$policy]} --ghostfs="$GHOSTFS" --ghost_cpus="$CPUS"
  e_expect agent "ghOSt active" || { t_fail; return; }
  ENCLAVE=$(e_enclave_of agent)
  S_END=$(($(date +%s) + SOAK_SECONDS))
  : >"$T/witness.totals"
  s_start_loads
  for name in "${S_LOADS[@]}"; do
    e_expect "$name" "rounds" $((SOAK_SECONDS + S_PATIENCE)) && e_end "$name" && [ "$STATUS" = 0 ] ||
      t_fail "$name: $(tail -n 5 "$T/$name.log")"
    echo "$name: $LINE"
  done
  checks=$(awk '{sum += $2} END {print sum + 0}' "$T/witness.totals")
  violations=$(awk '{sum += $4} END {print sum + 0}' "$T/witness.totals")
  echo "soak $policy: $SOAK_SECONDS s, $(s_count 'sum(c["commits"] for c in stats["cpus"])') commits," \
    "$(s_count 'sum(e["messages"].get("TASK_NEW", 0) for e in enclaves)') tasks," \
    "$(s_count 'sum(e["preempts"] for e in enclaves)') preemptions, $checks witness checks, $violations violations"
  [ "$violations" = 0 ] && [ "$checks" -gt 0 ] || t_fail "$violations violations in $checks checks"
  e_until 20 grep -qx "nr_tasks 0" "$ENCLAVE/status" || t_fail "tasks are left: $(cat "$ENCLAVE/status")"
  e_stop agent INT 20 && [ "$STATUS" = 0 ] || t_fail "the agent ends with $STATUS"
  h_well || return
  # With --check: 1 if it has found itself in disorder.
  e_kernel_stop && [ "$STATUS" = 0 ] || t_fail "ghostd ends with $STATUS: $(cat "$T/ghostd.err")"
}

s_make_sources
for policy in "${S_POLICIES[@]}"; do
  t_begin "real programs under $policy for $SOAK_SECONDS s"
  if ! command -v hackbench >/dev/null || ! command -v stress-ng >/dev/null; then
    t_skip "no hackbench or stress-ng: util/setup.sh installs them"
    continue
  fi
  s_soak "$policy" && t_pass
done

#!/bin/bash
# Whole curves of the paper's figures, simulated, as CSV. From the top of the repository, after a build of ghostsim:
#   tests/schedules/figures.sh 5 >fig5.csv
#   tests/schedules/figures.sh 6 >fig6.csv
# figures_test.cc says what stands for what.
set -euo pipefail
GHOSTSIM=${GHOSTSIM:-bazel-bin/ghostsim}

usage() {
  echo "figures.sh: $1" >&2
  echo "hint: tests/schedules/figures.sh 5 or 6, after: bazel build -c opt ghostsim" >&2
  exit 2
}

figure5() {  # NAME CORES TURN
  local cores=$2 order cpus scheduled
  order="$(seq 0 $((cores - 1))) $(seq $((2 * cores)) $((3 * cores - 1)))"
  order="$order $(seq "$cores" $((2 * cores - 1))) $(seq $((3 * cores)) $((4 * cores - 1)))"
  for scheduled in $(seq 1 $((4 * cores - 2))); do
    # shellcheck disable=SC2086
    cpus=$(echo $order | tr ' ' '\n' | head -$((scheduled + 1)) | paste -sd,)
    printf 'duration 20ms\nclass t count %d { loop { run exp %s; yield } }\n' $((5 * scheduled)) "$3" |
      "$GHOSTSIM" --policy fifo_centralized --topology "sockets 2 cores $cores smt 2" --ghost_cpus "$cpus" \
        --cost message_next=56 --workload - --json |
      python3 -c 'import json, sys
run = json.load(sys.stdin)
rate = run["commits"]["complete"] * 1e3 / run["duration_ns"]
print("%s,%s,%.3f" % (sys.argv[1], sys.argv[2], rate))' "$1" "$scheduled"
  done
}

figure6() {  # POLICY FROM TO FLAGS...
  local policy=$1 rate
  for rate in $(seq "$2" 10 "$3"); do
    printf 'duration 2s\nclass worker count 200 { loop { serve } }\nrequests get to worker rate %d000 %s\n' "$rate" \
      "run bimodal 10us 10006us 0.5%" |
      "$GHOSTSIM" --policy "$policy" --cpus 21 --workload - --json "${@:4}" |
      python3 -c 'import json, sys
response = json.load(sys.stdin)["requests"][0]["response"]
print("%s,%s,%.1f" % (sys.argv[1], sys.argv[2], response["p99_ns"] / 1e3))' "$policy" "$rate"
  done
}

[[ -x $GHOSTSIM ]] || usage "there is no $GHOSTSIM"
case "${1:-}" in
  5)
    echo cpu_type,scheduled_cpus,million_txns_per_sec
    figure5 skylake_28c 28 2400ns
    figure5 haswell_18c 18 1600ns
    ;;
  6)
    echo policy,kreq_per_s,p99_us
    figure6 fifo_centralized 20 260
    figure6 shinjuku 20 340 --set preemption_time_slice=30us
    ;;
  *) usage "which figure?" ;;
esac

#!/bin/bash
# What the hot paths cost: instructions per operation (callgrind), time and allocations, beside the public
# implementation's figures and those to reach.
#
# Usage: tests/perf/run.sh [--markdown | --json | --update] [--no-time] [FILTER]
#
#     tests/perf/run.sh                  # the whole table
#     tests/perf/run.sh --json BM_Turn   # some of it
#     tests/perf/run.sh --update         # after a change that is worth its instructions: the ratchet's figures
set -euo pipefail
cd "$(dirname "$0")/../.."
case "${1-}" in --help | -h) sed -n '2,9s/^# \?//p' "$0"; exit 0 ;; esac
bazel build -c opt --noshow_progress --ui_event_filters=-info,-stdout,-stderr //tests/perf:hot_paths >&2
exec python3 tests/perf/run.py "$@"

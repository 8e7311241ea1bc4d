#!/bin/bash
# Installs what is missing, builds everything, runs all tests, and the unit tests twice more: under ASan and UBSan, and
# under TSan.
# The last line is 'N passed, N failed, N skipped'; exits non-zero if anything failed.
#
# Usage: util/check.sh [--quick]     --quick leaves the sanitizers out
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
# Bazel wants a home for its cache; a CI may have none.
export HOME="${HOME:-/root}"

case "${1-}" in
  "" | --quick) ;;
  --help) sed -n '2,6s/^# \?//p' "$0"; exit 0 ;;
  *) echo "check.sh: unknown argument: $1" >&2; echo "hint: util/check.sh --help" >&2; exit 2 ;;
esac

util/setup.sh || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }

events=$(mktemp -d)
trap 'rm -rf "$events"' EXIT

# run_tests NAME FLAG...: all tests with these flags; their events to $events/NAME.
run_tests() {
  local name=$1
  shift
  echo "check.sh: bazel test $*"
  : >"$events/$name"
  bazel test --noshow_progress --ui_event_filters=-info --keep_going --build_event_json_file="$events/$name" "$@" \
    </dev/null
}

status=0
run_tests opt -c opt //... || status=1
also=()
if [ "${1-}" != --quick ]; then
  # Tests that trace processes or mount things don't go together with the sanitizers' own tricks.
  run_tests sanitizers --config=asan_ubsan --build_tests_only \
    --test_tag_filters=-e2e,-exclusive,-style,-no-sanitizer //... || status=1
  # The same under ThreadSanitizer, but for the core, which has one thread by design and would be half of the build.
  run_tests tsan --config=tsan --build_tests_only \
    --test_tag_filters=-e2e,-exclusive,-style,-no-sanitizer -- //... -//kernel/usermode/core/... || status=1
  also=(--also "$events/sanitizers" --also "$events/tsan")
fi
python3 util/test_summary.py "$events/opt" "${also[@]}" || status=1
exit $status

# Cases of an end-to-end script, counted like googletest's: source this file, then
#
#     t_begin "the agent says that it is ready"
#     grep -q active "$log" || t_fail "no 'ghOSt active' in: $(cat "$log")"
#     t_pass
#     t_begin "a virtual machine with a PMU"
#     [ -e /sys/devices/cpu ] || t_skip "no PMU here"
#     t_pass
#
# Every t_begin needs an end: t_pass, t_fail or t_skip. The first of them that a case meets decides; those after it are
# without effect, so that t_pass may simply stand last. A case that is still open at the next t_begin or at the script's
# end has failed. On exit the report goes to $XML_OUTPUT_FILE (Bazel sets it; util/test_summary.py counts it), and the
# script's exit status is 1 if a case failed or none ran.
#
# Own clean-up belongs into t_cleanup, a function that a script may define; it runs before the report is written.

T_CASE=        # the open case, or empty
T_RESULT=      # what it has met: "", pass, fail, skip
T_STARTED=     # ms
T_RAN=0
T_FAILED=0
T_REPORT=      # the cases so far, as XML

t_now_ms() { echo $(($(date +%s%N) / 1000000)); }

t_xml() { # escapes its argument for an attribute; control characters have no place in XML
  printf '%s' "$1" | tr -d '\000-\010\013\014\016-\037' |
    sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' -e 's/"/\&quot;/g' | sed -e ':a;N;$!ba;s/\n/\&#10;/g'
}

# t_decide RESULT MESSAGE: the open case's result, unless it has one.
t_decide() {
  if [ -z "$T_CASE" ]; then
    echo "lib.sh: no case is open for: $1 $2" >&2
    T_FAILED=$((T_FAILED + 1))
    return
  fi
  [ -z "$T_RESULT" ] || return 0
  T_RESULT=$1
  local ms=$(($(t_now_ms) - T_STARTED)) element= name
  case $1 in
    pass) echo "[       OK ] $T_CASE ($ms ms)" ;;
    fail)
      T_FAILED=$((T_FAILED + 1))
      element="<failure message=\"$(t_xml "$2")\"/>"
      printf '%s\n[  FAILED  ] %s (%s ms)\n' "$2" "$T_CASE" "$ms"
      ;;
    skip)
      element="<skipped message=\"$(t_xml "$2")\"/>"
      printf '%s\n[  SKIPPED ] %s (%s ms)\n' "$2" "$T_CASE" "$ms"
      ;;
  esac
  name=$(t_xml "$T_CASE")
  T_REPORT+="<testcase name=\"$name\" status=\"run\" time=\"$((ms / 1000)).$(printf %03d $((ms % 1000)))\">"
  T_REPORT+="$element</testcase>"$'\n'
}

t_close() {
  [ -z "$T_CASE" ] || t_decide fail "the case came to no end"
  T_CASE=
}

t_begin() {
  t_close
  T_CASE=$1
  T_RESULT=
  T_STARTED=$(t_now_ms)
  T_RAN=$((T_RAN + 1))
  echo "[ RUN      ] $T_CASE"
}
t_pass() { t_decide pass ""; }
t_fail() { t_decide fail "${1:-failed}"; }
t_skip() { t_decide skip "${1:?a skipped case needs a reason}"; }

# t_says STATUS PATTERN COMMAND...: the command ends with STATUS, a line that matches, a hint, and nothing else. What it
# wrote stays in $T/said.out and $T/said.err.
t_says() {
  local wanted=$1 pattern=$2 status
  shift 2
  timeout 100 "$@" >"$T/said.out" 2>"$T/said.err" </dev/null
  status=$?
  [ "$status" = "$wanted" ] || t_fail "$*: exit status $status, not $wanted: $(cat "$T/said.out" "$T/said.err")"
  grep -q -e "$pattern" "$T/said.err" || t_fail "$*: no '$pattern' in: $(cat "$T/said.err")"
  grep -q "^hint: " "$T/said.err" || t_fail "$*: no hint: $(cat "$T/said.err")"
  ! grep -qi -e "check failed" -e backtrace -e "core dumped" "$T/said.err" || t_fail "a crash: $(cat "$T/said.err")"
  [ "$(wc -l <"$T/said.err")" -le 2 ] || t_fail "$*: more than two lines: $(cat "$T/said.err")"
}

t_finish() {
  local status=$?
  trap - EXIT
  t_close
  if declare -F t_cleanup >/dev/null; then t_cleanup; fi
  if [ "$T_RAN" = 0 ]; then
    echo "no case ran" >&2
    T_FAILED=1
  elif [ "$status" != 0 ] && [ "$T_FAILED" = 0 ]; then
    t_begin "exit status of the script"
    t_fail "it ended with status $status"
  fi
  if [ -n "${XML_OUTPUT_FILE-}" ]; then
    printf '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites><testsuite name="%s">\n%s</testsuite></testsuites>\n' \
      "$(t_xml "$(basename "$0")")" "$T_REPORT" >"$XML_OUTPUT_FILE"
  fi
  [ "$T_FAILED" = 0 ] || exit 1
  exit 0
}
trap t_finish EXIT

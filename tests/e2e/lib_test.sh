#!/bin/bash
# Tests lib.sh with small scripts: what they report, and how they exit.
source "$(dirname "$0")/lib.sh"
lib=$(dirname "$0")/lib.sh
dir=$(mktemp -d)
t_cleanup() { rm -rf "$dir"; }

# expect NAME STATUS XML SCRIPT: the script exits with STATUS, and its report has the extended regex XML.
expect() {
  t_begin "$1"
  XML_OUTPUT_FILE=$dir/xml bash -c "source '$lib'; $4" >"$dir/out" 2>&1
  local status=$?
  [ "$status" = "$2" ] || t_fail "exit status $status: $(cat "$dir/out")"
  tr -d '\n' <"$dir/xml" | grep -qE "$3" || t_fail "the report is: $(cat "$dir/xml")"
  python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$dir/xml" || t_fail "not XML: $(cat "$dir/xml")"
  t_pass
}

expect "a passed case" 0 '<testcase name="a" [^>]*></testcase>' 't_begin a; t_pass'
expect "a failed case" 1 'name="a" [^>]*><failure message="why"/>' 't_begin a; t_fail why; t_begin b; t_pass'
expect "pass after fail is without effect" 1 '<failure message="why"/>' 't_begin a; t_fail why; t_pass'
expect "a skipped case keeps its reason" 0 '<skipped message="no PMU"/>' 't_begin a; t_skip "no PMU"; t_pass'
expect "an open case fails" 1 '<failure message="the case came to no end"/>' 't_begin a; t_begin b; t_pass'
expect "a script that dies fails" 1 '<failure message="the case came to no end"/>' 't_begin a; exit 0'
expect "a script's own failure counts" 1 'ended with status 3' 't_begin a; t_pass; exit 3'
expect "no case is a failure" 1 '<testsuite name="bash"></testsuite>' 'true'
expect "a result without a case is a failure" 1 'name="a"' 't_begin a; t_pass; T_CASE=; t_pass'
expect "any text is escaped" 1 'name="&lt;&amp;&gt;&quot;" .*message="1&#10;2"' \
  't_begin "<&>\""; t_fail "$(printf "1\n2\033")"'
expect "clean-up runs" 0 '<testcase name="a"' 't_cleanup() { echo cleaned; }; t_begin a; t_pass'
t_begin "clean-up has run"
grep -q cleaned "$dir/out" || t_fail "$(cat "$dir/out")"
t_pass

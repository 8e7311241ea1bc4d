#!/bin/bash
# Runs the suite as a test: each rule is a case of its report, which util/test_summary.py counts.
exec "$TEST_SRCDIR/$TEST_WORKSPACE/tests/conformance/conformance" --quiet --xml="$XML_OUTPUT_FILE" "$@"

"""Runs test_summary.py on hand-made events and reports."""
import io
import json
import os
import tempfile
import unittest
from contextlib import redirect_stdout

from util import test_summary


class TestSummary(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.count = 0

    def path(self, name, text):
        self.count += 1
        path = os.path.join(self.directory, "%d_%s" % (self.count, name))
        with open(path, "w") as out:
            out.write(text)
        return path

    def result(self, label, status, cases, attempt=1):
        outputs = [{"name": "test.log", "uri": "file:///nowhere"}]
        if cases is not None:
            xml = self.path("test.xml", "<testsuites><testsuite>%s</testsuite></testsuites>" % cases)
            outputs.append({"name": "test.xml", "uri": "file://" + xml})
        return {"id": {"testResult": {"label": label, "run": 1, "shard": 1, "attempt": attempt}},
                "testResult": {"status": status, "testActionOutput": outputs}}

    def broken(self, label):
        return {"id": {"targetCompleted": {"label": label}}, "completed": {}}

    def events(self, *events, exit_code=0):
        events += ({"id": {"buildFinished": {}}, "finished": {"exitCode": {"code": exit_code}}},)
        return self.path("events", "".join(json.dumps(event) + "\n" for event in events))

    def run_main(self, *args):
        out = io.StringIO()
        with redirect_stdout(out):
            status = test_summary.main(list(args))
        return status, out.getvalue().splitlines()

    def test_counts_cases(self):
        cases = ('<testcase name="a" classname="C" status="run"/><testcase name="d" status="notrun"/>'
                 '<testcase name="s" classname="C" status="run" result="skipped">'
                 '<skipped message="c.cc:3&#10;no PMU"/></testcase>')
        status, lines = self.run_main(self.events(self.result("//a:t", "PASSED", cases)))
        self.assertEqual(lines, ["SKIPPED //a:t: C.s: no PMU", "1 passed, 0 failed, 1 skipped"])
        self.assertEqual(status, 0)

    def test_failed_case(self):
        cases = '<testcase name="a"><failure message="x"/></testcase><testcase name="b"/>'
        status, lines = self.run_main(self.events(self.result("//a:t", "FAILED", cases), exit_code=3))
        self.assertEqual(lines, ["FAILED //a:t: a", "1 passed, 1 failed, 0 skipped"])
        self.assertEqual(status, 1)

    def test_crash_timeout_and_no_report_are_failures(self):
        status, lines = self.run_main(self.events(
            self.result("//a:crash", "FAILED", '<testcase name="a"/>'), self.result("//a:slow", "TIMEOUT", None),
            self.result("//a:plain", "PASSED", None), exit_code=3))
        self.assertEqual(lines, ["FAILED //a:crash: FAILED", "FAILED //a:slow: TIMEOUT",
                                 "2 passed, 2 failed, 0 skipped"])
        self.assertEqual(status, 1)

    def test_last_attempt_counts(self):
        cases = '<testcase name="a"/>'
        _, lines = self.run_main(self.events(
            self.result("//a:t", "FAILED", None), self.result("//a:t", "PASSED", cases, attempt=2)))
        self.assertEqual(lines, ["1 passed, 0 failed, 0 skipped"])

    def test_broken_build_is_a_failure(self):
        status, lines = self.run_main(self.events(
            self.result("//a:t", "PASSED", '<testcase name="a"/>'), self.broken("//b:c"), exit_code=1))
        self.assertEqual(lines, ["FAILED //b:c: did not build", "1 passed, 1 failed, 0 skipped"])
        self.assertEqual(status, 1)

    def test_a_build_that_stops_early_is_a_failure(self):
        for events in (self.events(exit_code=1), self.path("events", "")):
            status, lines = self.run_main(events)
            self.assertEqual(lines[-1], "0 passed, 1 failed, 0 skipped")
            self.assertEqual(status, 1)

    def test_nothing_ran(self):
        status, lines = self.run_main(self.events())
        self.assertEqual(lines, ["0 passed, 0 failed, 0 skipped"])
        self.assertEqual(status, 1)

    def test_also_counts_failures_only(self):
        good = self.events(self.result("//a:t", "PASSED", '<testcase name="a"/>'))
        bad = self.events(self.result("//a:t", "FAILED", '<testcase name="a"><failure/></testcase>'), exit_code=3)
        status, lines = self.run_main(good, "--also", good)
        self.assertEqual(lines, ["1 passed, 0 failed, 0 skipped"])
        self.assertEqual(status, 0)
        status, lines = self.run_main(good, "--also", bad)
        self.assertEqual(lines, ["FAILED sanitizers: //a:t: a", "1 passed, 1 failed, 0 skipped"])
        self.assertEqual(status, 1)


if __name__ == "__main__":
    unittest.main()

"""The scripts with the real programs, over a ghostd of their own: a short run, and each part killed in the middle."""
import html.parser
import os
import signal
import subprocess
import unittest

from experiments.scripts.ghost_experiments import journal, sanity
from experiments.scripts.ghost_experiments.run_case import DEADLINE_S, RunCase

LOW_LOAD = 100  # any machine keeps up with it, a busy one too


class Figures(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "figure":
            self.found.append(dict(attrs)["id"])


class ProgramsTest(RunCase):
    def setUp(self):
        super().setUp()
        self.bin = os.getcwd()  # the test's runfiles; bazel-bin by hand

    def assert_sane(self, results):
        for record in results["points"]:
            self.assertEqual(sanity.complaints(record["rocksdb"]), [], record["system"])
            self.assertEqual(record["sanity"], [])
            if record["load"] <= LOW_LOAD:
                self.assertTrue(sanity.keeps_up(record["rocksdb"]), record["rocksdb"])
                self.assertLessEqual(record["rocksdb"]["unfinished"], 0.1 * record["rocksdb"]["arrived"])
            self.assertGreater(record["point"]["achieved_per_s"], 0)

    def test_a_short_run(self):
        loads = f"{LOW_LOAD},{2 * LOW_LOAD}"
        code, out, err = self.run_script("ghost", "cfs", "--scale", "auto", "--duration", "3s", "--discard", "1s",
                                         "--loads", loads, "--output", self.output)
        self.assertEqual(code, 0, err)
        self.assert_nothing_left()
        results = self.results()
        self.assert_sane(results)
        self.assertTrue(results["complete"])
        self.assertEqual([(record["system"], record["load"]) for record in results["points"]],
                         [(system, load * LOW_LOAD) for system in ("ghost-shinjuku", "cfs") for load in (1, 2)])
        for record in results["points"]:
            share = record["point"]["batch_share"]
            self.assertTrue(0 < share < 1.05, share)
            ghost = record["system"] != "cfs"
            self.assertEqual(set(record["cost"]), {"ghostd", "agent_shinjuku"} if ghost else set())
            if ghost:
                self.assertGreater(record["cost"]["ghostd"]["us_per_request"], 0)
        with open(os.path.join(self.output, "report.html"), encoding="utf-8") as file:
            page = file.read()
        self.assertEqual(Figures(page).found, ["p99", "get_p99", "p50", "achieved", "batch_share", "cost"])
        for words in ("Linux (", "ghOSt Shinjuku", "paper: ghOSt-Shinjuku", "Every hand-over from one request"):
            self.assertIn(words, page)
        self.assertIn(f"report: {self.output}/report.html", out)

    def test_the_search_for_what_a_machine_carries(self):
        process = self.start("cfs", "--scale", "auto", "--points", "1", "--duration", "1s", "--output", self.output,
                             "--no_report", script="centralized_queuing")
        code, _, err = self.end_of(process)
        self.assertEqual(code, 0, err)
        capacity = self.results()["capacity"]["cfs"]
        self.assertGreaterEqual(capacity, LOW_LOAD)
        self.assertEqual(len(self.results()["points"]), 1)
        self.assert_nothing_left()

    def test_every_policy_serves_requests(self):
        policies = ("fifo", "sol", "edf", "cfs")
        code, _, err = self.run_script("ghost", "--policy", ",".join(policies), "--scale", "auto", "--duration", "1s",
                                       "--loads", str(LOW_LOAD), "--output", self.output, "--no_report")
        self.assertEqual(code, 0, err)
        self.assertEqual([record["system"] for record in self.results()["points"]],
                         ["ghost-" + policy for policy in policies])
        for record in self.results()["points"]:
            self.assertEqual(sanity.complaints(record["rocksdb"]), [])
            self.assertGreater(record["rocksdb"]["requests"]["all"]["total"]["total"], 0)
        self.assert_nothing_left()

    def test_each_part_killed_in_the_middle_leaves_nothing(self):
        for role in ("ghostd", "agent_shinjuku", "rocksdb", "antagonist"):
            with self.subTest(role):
                process = self.in_the_middle("--loads", str(LOW_LOAD), "--output", os.path.join(self.top, role))
                os.kill(self.roles()[role], signal.SIGKILL)
                code, _, err = self.end_of(process)
                self.assertEqual(code, 1, err)
                self.assertIn("go on with --resume", err)
                self.assert_nothing_left()

    def test_a_kernel_that_is_there_is_used_and_left_as_it_was(self):
        ghostfs = os.path.join(self.top, "ghost")
        kernel = subprocess.Popen(["./ghostd", "--mount", ghostfs], stdout=subprocess.PIPE, text=True)
        self.addCleanup(kernel.kill)
        self.assertIn("serving", kernel.stdout.readline())
        for role in (None, "agent_shinjuku", "script"):
            process = self.in_the_middle("--loads", str(LOW_LOAD), "--duration", "3s" if role is None else "30s",
                                         "--output", os.path.join(self.top, str(role)), "--no_report", own_ghostd=False,
                                         GHOSTFS=ghostfs)
            self.assertEqual([name for name in os.listdir(ghostfs) if name.startswith("enclave_")], ["enclave_1"])
            if role is not None:
                os.kill(self.roles()[role], signal.SIGKILL)
            self.assertEqual(self.end_of(process)[0], {None: 0, "agent_shinjuku": 1, "script": -9}[role])
            self.assert_nothing_left()
            self.assertEqual([name for name in os.listdir(ghostfs) if name.startswith("enclave_")], [])
        kernel.terminate()
        self.assertEqual(kernel.wait(timeout=DEADLINE_S), 0)
        kernel.stdout.close()

    def test_the_script_killed_in_the_middle_leaves_nothing(self):
        for number, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(number):
                process = self.in_the_middle("--loads", str(LOW_LOAD), "--output", os.path.join(self.top, str(code)))
                process.send_signal(number)
                self.assertEqual(self.end_of(process)[0], code)
                self.assert_nothing_left()

    def test_guardian_and_script_killed_the_next_run_tidies_up(self):
        process = self.in_the_middle("--loads", str(LOW_LOAD))
        for role in ("guardian", "script"):
            os.kill(self.roles()[role], signal.SIGKILL)
        self.end_of(process)
        self.assertTrue(journal.wait_until(lambda: not self.roles(), DEADLINE_S), self.roles())
        self.assertEqual(len(os.listdir(self.state)), 1)
        code, out, err = self.run_script("cfs", "--loads", str(LOW_LOAD), "--scale", "auto", "--duration", "1s",
                                         "--output", os.path.join(self.top, "next"), "--no_report")
        self.assertEqual(code, 0, err)
        self.assertIn("undone: what the killed run", out)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()

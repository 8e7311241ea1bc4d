"""Whole runs, with fake_program.py in place of every program: what is started, kept, resumed, and left when parts die.

The same with the real programs is experiments/scripts/experiments_test.sh.
"""
import json
import os
import signal
import subprocess
import tempfile
import unittest

from experiments.scripts.ghost_experiments import journal, procfs

SCRIPTS = "experiments/scripts"
FAKE = os.path.realpath(os.path.join(SCRIPTS, "ghost_experiments/fake_program.py"))
PROGRAMS = ("ghostd", "agent_shinjuku", "fifo_centralized_agent", "rocksdb", "antagonist")
DEADLINE_S = 60


@unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "an experiment takes two CPUs")
class RunTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = directory.name
        self.bin, self.state, self.temporary, self.output = (
            os.path.join(self.top, name) for name in ("bin", "state", "tmp", "out"))
        os.mkdir(self.bin)
        os.mkdir(self.temporary)
        for name in PROGRAMS:
            os.symlink(FAKE, os.path.join(self.bin, name))
        self.environment = {**{name: value for name, value in os.environ.items() if name != "GHOSTFS"},
                            "GHOST_EXPERIMENTS_STATE": self.state, "TMPDIR": self.temporary,
                            "PYTHONDONTWRITEBYTECODE": "1"}

    def start(self, *words, script="shinjuku_shenango", **variables):
        process = subprocess.Popen([os.path.join(SCRIPTS, script), "--bin", self.bin, *words], text=True,
                                   env={**self.environment, **variables}, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.kill)
        return process

    def run_script(self, *words, **variables):
        process = self.start(*words, **variables)
        out, err = process.communicate(timeout=DEADLINE_S * 2)
        return process.returncode, out, err

    def whole(self, *words, **variables):
        return self.run_script(*words, "--scale", "auto", "--duration", "10s", "--output", self.output, "--no_report",
                               **variables)

    def results(self):
        with open(os.path.join(self.output, "results.json"), encoding="utf-8") as file:
            return json.load(file)

    def assert_nothing_left(self):
        def left():
            runs = [procfs.environment(pid).get(procfs.RUN_VARIABLE) for pid in procfs.pids() if procfs.lives(pid)
                    and procfs.environment(pid).get("GHOST_EXPERIMENTS_STATE") == self.state]
            return [run for run in runs if run] + os.listdir(self.state) + os.listdir(self.temporary)
        self.assertTrue(journal.wait_until(lambda: not left(), DEADLINE_S), left())

    def roles(self):
        """The living programs of this test's run."""
        found = {}
        for pid in procfs.pids():
            variables = procfs.environment(pid)
            if variables.get("GHOST_EXPERIMENTS_STATE") == self.state and procfs.lives(pid):
                found[variables.get(procfs.ROLE_VARIABLE, "guardian")] = pid
        return found

    def in_the_middle(self, *words, **variables):
        """A run of which all parts are at work, in a point that takes a while."""
        process = self.start("ghost", "--loads", "500", "--duration", "30s", "--output", self.output, "--scale", "auto",
                             *words, FAKE_SECONDS="1", **variables)
        wanted = {"ghostd", "agent_shinjuku", "rocksdb", "antagonist"}

        def at_work():
            mounts = [name for name in os.listdir(self.temporary)
                      if os.path.isfile(os.path.join(self.temporary, name, "ghost/version"))]
            return wanted <= set(self.roles()) and mounts and process.poll() is None
        self.assertTrue(journal.wait_until(at_work, DEADLINE_S), (self.roles(), process.poll()))
        return process

    def end_of(self, process):
        out, err = process.communicate(timeout=DEADLINE_S)
        return process.returncode, out, err

    def test_a_whole_run(self):
        code, out, err = self.run_script("ghost", "cfs", "--points", "3", "--scale", "auto", "--output", self.output)
        self.assertEqual(code, 0, err)
        results = self.results()
        self.assertTrue(results["complete"])
        self.assertEqual(results["capacity"], {"ghost-shinjuku": 10_000, "cfs": 10_000})
        self.assertEqual([(point["system"], point["load"]) for point in results["points"]],
                         [(system, load) for system in ("ghost-shinjuku", "cfs") for load in (1000, 7000, 11_000)])
        self.assertEqual(results["points"][2]["point"]["achieved_per_s"], 10_000)
        self.assertIn("agent_shinjuku", results["points"][0]["cost"])
        self.assertIn("[6/6] cfs at 11,000/s: achieved 10,000/s, p50 8 us, p99 20 us, batch share 0.50", out)
        for name in ("report.html", "p99.png", "p99.svg", "batch_share.svg"):
            self.assertTrue(os.path.isfile(os.path.join(self.output, name)), name)
        self.assertEqual([words[0] for words in results["points"][0]["commands"]],
                         ["ghostd", "agent_shinjuku", "antagonist", "rocksdb"])
        self.assert_nothing_left()

    def test_several_policies(self):
        code, _, err = self.whole("ghost", "--policy", "fifo,shinjuku", "--loads", "100")
        self.assertEqual(code, 0, err)
        self.assertEqual([point["system"] for point in self.results()["points"]], ["ghost-fifo", "ghost-shinjuku"])

    def test_a_kernel_that_is_there_is_used(self):
        ghostfs = os.path.join(self.top, "ghostfs")
        os.makedirs(os.path.join(ghostfs, "enclave_1"))
        for path in ("version", "enclave_1/ctl"):
            journal.write_text(os.path.join(ghostfs, path), "91\n")
        code, _, err = self.whole("ghost", "--loads", "100", "--ghostfs", ghostfs)
        self.assertEqual(code, 0, err)
        self.assertFalse(self.results()["ghostd"])
        self.assertIn(f"--ghostfs={ghostfs}", self.results()["points"][0]["commands"][-1])
        with open(os.path.join(ghostfs, "enclave_1/ctl"), encoding="ascii") as file:
            self.assertEqual(file.read(), "destroy")  # so that the agent's enclave does not outlive the run
        self.assert_nothing_left()
        code, _, err = self.run_script("ghost", "--loads", "1", "--scale", "auto", "--ghostfs", self.top)
        self.assertEqual((code, err.splitlines()[0]), (3, f"shinjuku_shenango: {self.top} is no ghostfs"))

    def test_a_part_that_dies_ends_the_run_in_order_and_it_can_be_resumed(self):
        for dying in ("ghostd", "agent_shinjuku", "rocksdb", "antagonist"):
            code, _, err = self.run_script("ghost", "cfs", "--loads", "100", "--scale", "auto", "--output",
                                           os.path.join(self.top, dying), FAKE_DIES=dying)
            self.assertEqual(code, 1, (dying, err))
            self.assertIn(f"shinjuku_shenango: {dying} was killed by SIGKILL", err)
            self.assert_nothing_left()
        place = os.path.join(self.top, "rocksdb")
        code, out, err = self.run_script("--resume", place)
        self.assertEqual(code, 0, err)
        self.assertIn(f"report: {place}/report.html", out)

    def test_finished_points_are_not_run_again(self):
        code, _, err = self.whole("cfs", "ghost", "--loads", "100,200", FAKE_DIES="ghostd")
        self.assertEqual(code, 1, err)
        self.assertIn(f"go on with --resume {self.output}", err)
        points = os.path.join(self.output, "points")
        self.assertEqual(sorted(os.listdir(points)), ["cfs-100.json", "cfs-200.json"])
        self.assertEqual(len(self.results()["points"]), 2)
        before = os.stat(os.path.join(points, "cfs-100.json")).st_mtime_ns
        code, out, err = self.run_script("--resume", self.output, "--no_report")
        self.assertEqual(code, 0, err)
        self.assertIn("2 of 4 points are there already", out)
        self.assertEqual(os.stat(os.path.join(points, "cfs-100.json")).st_mtime_ns, before)
        self.assertEqual(len(self.results()["points"]), 4)
        self.assertTrue(self.results()["complete"])

    def test_ctrl_c_ends_all_in_order(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            process = self.in_the_middle("--output", os.path.join(self.top, f"out{code}"))
            process.send_signal(number)
            got, _, err = self.end_of(process)
            self.assertEqual(got, code, err)
            self.assert_nothing_left()

    def test_each_part_killed_in_the_middle_leaves_nothing(self):
        for role in ("ghostd", "agent_shinjuku", "rocksdb", "antagonist"):
            process = self.in_the_middle("--output", os.path.join(self.top, role))
            os.kill(self.roles()[role], signal.SIGKILL)
            code, _, err = self.end_of(process)
            self.assertEqual(code, 1)
            self.assertIn(f"{role} was killed by SIGKILL", err)
            self.assert_nothing_left()

    def test_the_script_killed_in_the_middle_leaves_nothing(self):
        process = self.in_the_middle()
        process.kill()
        self.assertEqual(self.end_of(process)[0], -signal.SIGKILL)
        self.assert_nothing_left()

    def test_a_second_ctrl_c_leaves_it_to_the_guardian(self):
        process = self.in_the_middle()
        os.kill(self.roles()["agent_shinjuku"], signal.SIGSTOP)  # so that an orderly end takes long
        process.send_signal(signal.SIGINT)
        self.assertTrue(journal.wait_until(lambda: "rocksdb" not in self.roles(), DEADLINE_S))
        process.send_signal(signal.SIGINT)
        self.assertEqual(self.end_of(process)[0], 130)
        self.assert_nothing_left()

    def test_guardian_and_script_killed_the_next_run_tidies_up(self):
        process = self.in_the_middle()
        os.kill(self.roles()["guardian"], signal.SIGKILL)
        process.kill()
        self.end_of(process)
        self.assertTrue(journal.wait_until(lambda: not self.roles(), DEADLINE_S), self.roles())
        self.assertEqual(len(os.listdir(self.state)), 1)
        self.assertEqual(len(os.listdir(self.temporary)), 1)
        code, out, _ = self.run_script("--restore")
        self.assertEqual(code, 0)
        self.assertIn("undone: what the killed run", out)
        self.assert_nothing_left()

    def test_a_guardian_that_was_killed_is_replaced(self):
        process = self.start("cfs", "--loads", "100,200", "--duration", "2s", "--output", self.output, "--scale",
                             "auto", "--no_report", FAKE_SECONDS="1")
        self.assertTrue(journal.wait_until(lambda: "rocksdb" in self.roles(), DEADLINE_S))
        first = self.roles()["guardian"]
        os.kill(first, signal.SIGKILL)
        self.assertTrue(journal.wait_until(lambda: self.roles().get("guardian", first) != first, DEADLINE_S))
        self.assertEqual(self.end_of(process)[0], 0)
        self.assert_nothing_left()

    def test_refusals_change_nothing(self):
        for words, code, wanted in ((("ghost", "--bin", self.top, "--scale", "auto"), 2, "has no agent_shinjuku"),
                                    (("--resume", self.top), 2, "is no folder of results"),
                                    (("cfs", "--output", self.top, "--scale", "auto"), 2, "is not empty")):
            got, _, err = self.run_script(*words)
            lines = err.splitlines()
            self.assertEqual((got, len(lines)), (code, 2), err)
            self.assertIn(wanted, lines[0])
            self.assertTrue(lines[1].startswith("hint: "))
        self.assertFalse(os.path.exists(self.state) and os.listdir(self.state))


if __name__ == "__main__":
    unittest.main()

"""Whole runs, with fake_program.py in place of every program: what is started, kept, resumed, and left when parts die.

The same with the real programs is programs_test.py.
"""
import os
import signal
import unittest

from experiments.scripts.ghost_experiments import files, journal, sweep
from experiments.scripts.ghost_experiments.run_case import DEADLINE_S, SCRIPTS, RunCase

FAKE = os.path.realpath(os.path.join(SCRIPTS, "ghost_experiments/fake_program.py"))
PROGRAMS = ("ghostd", "agent_shinjuku", "fifo_centralized_agent", "rocksdb", "antagonist")


class RunTest(RunCase):
    def setUp(self):
        super().setUp()
        os.mkdir(self.bin)
        for name in PROGRAMS:
            os.symlink(FAKE, os.path.join(self.bin, name))

    def test_a_whole_run(self):
        code, out, err = self.run_script("ghost", "cfs", "--points", "3", "--scale", "auto", "--output", self.output)
        self.assertEqual(code, 0, err)
        results = self.results()
        self.assertTrue(results["complete"])
        capacity = results["capacity"]["cfs"]
        self.assertTrue(7000 < capacity < 10_400, capacity)  # of 10,000, found by doubling and halving
        loads = sweep.of_capacity(capacity, 3)
        self.assertEqual([(point["system"], point["load"]) for point in results["points"]],
                         [(system, load) for system in ("ghost-shinjuku", "cfs") for load in loads])
        self.assertEqual(results["points"][2]["point"]["achieved_per_s"], min(loads[2], 10_000))
        self.assertIn("agent_shinjuku", results["points"][0]["cost"])
        self.assertRegex(out, r"\[6/6\] cfs at [\d,]+/s: achieved [\d,]+/s, p50 8 us, p99 20 us, batch share 0\.\d\d\n")
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
            files.write_text(os.path.join(ghostfs, path), "91\n")
        code, _, err = self.whole("ghost", "--loads", "100", "--ghostfs", ghostfs)
        self.assertEqual(code, 0, err)
        self.assertFalse(self.results()["ghostd"])
        self.assertIn(f"--ghostfs={ghostfs}", self.results()["points"][0]["commands"][-1])
        self.assert_nothing_left()
        process = self.in_the_middle("--ghostfs", ghostfs, "--output", os.path.join(self.top, "out2"), own_ghostd=False)
        os.kill(self.roles()["agent_shinjuku"], signal.SIGKILL)
        self.assertEqual(self.end_of(process)[0], 1)
        self.assert_nothing_left()
        with open(os.path.join(ghostfs, "enclave_1/ctl"), encoding="ascii") as file:
            self.assertEqual(file.read(), "destroy")  # a ghost kernel would keep the enclave
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

    def test_a_machine_that_serves_nothing_is_a_result_too(self):
        code, out, err = self.run_script("cfs", "--loads", "100", "--scale", "auto", "--output", self.output,
                                         FAKE_CAPACITY="0")
        self.assertEqual(code, 0, err)
        self.assertNotIn("UserWarning", err)  # matplotlib's, of a value that a logarithmic axis has not
        self.assertIn("[1/1] cfs at 100/s: achieved 0/s, batch share 0.", out)
        self.assertTrue(os.path.isfile(os.path.join(self.output, "report.html")))

    def test_what_a_part_says_is_passed_on(self):
        for refusing in ("ghostd", "agent_shinjuku", "rocksdb"):
            code, _, err = self.run_script("ghost", "--loads", "100", "--scale", "auto", "--output",
                                           os.path.join(self.top, refusing), FAKE_REFUSES=refusing)
            self.assertEqual(code, 4, err)
            self.assertIn(f"\nshinjuku_shenango: {refusing} ended with exit code 4: {refusing}: not allowed\n"
                          "hint: be root\n", err)
            self.assert_nothing_left()

    def test_finished_points_are_not_run_again(self):
        code, _, err = self.whole("cfs", "ghost", "--loads", "100,200", FAKE_DIES="ghostd")
        self.assertEqual(code, 1, err)
        self.assertIn(f"stopped with 2 points done; go on with --resume {self.output}", err)
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

    def test_settings_are_put_back_whoever_dies(self):
        root = os.path.join(self.top, "sysroot")
        watchdog = os.path.join(root, "proc/sys/kernel/nmi_watchdog")
        os.makedirs(os.path.dirname(watchdog))
        files.write_text(watchdog, "1")

        def setting():
            with open(watchdog, encoding="ascii") as file:
                return file.read()
        for number in (signal.SIGKILL, signal.SIGINT):
            process = self.in_the_middle("--tune", "--output", os.path.join(self.top, f"out{number}"),
                                         GHOST_EXPERIMENTS_SYSROOT=root)
            self.assertEqual(setting(), "0")
            process.send_signal(number)
            self.end_of(process)
            self.assert_nothing_left()
            self.assertEqual(setting(), "1")

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

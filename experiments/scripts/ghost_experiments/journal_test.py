"""What a run changes, it or somebody else puts back."""
import io
import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from experiments.scripts.ghost_experiments import cgroups, files, guardian, journal, procfs, settings
from experiments.scripts.ghost_experiments.errors import PERMISSION, ExperimentError
from experiments.scripts.ghost_experiments.journal import Journal

# A run that makes what its argument names, and then dies as if by kill -9.
DYING_RUN = """
import os, signal, sys
from experiments.scripts.ghost_experiments.journal import Journal
journal = Journal(sys.argv[1])
for path in sys.argv[2:]:
    journal.add("directory", path=path)
    os.makedirs(os.path.join(path, "inside"))
print(journal.path, flush=True)
sys.stdin.read()
os.kill(os.getpid(), signal.SIGKILL)
"""


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = directory.name
        self.state = os.path.join(self.top, "state")

    def file(self, path, text):
        full = os.path.join(self.top, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        files.write_text(full, text)
        return full

    def read(self, path):
        with open(os.path.join(self.top, path), encoding="ascii") as file:
            return file.read()

    def dying_run(self, *paths):
        process = subprocess.Popen([sys.executable, "-c", DYING_RUN, self.state, *paths], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process, process.stdout.readline().strip()


class JournalTest(Case):
    def test_undo_takes_away_and_puts_back_in_reverse(self):
        setting = self.file("setting", "first")
        directory = os.path.join(self.top, "work")
        run = Journal(self.state)
        run.add("setting", path=setting, old="first")
        run.add("directory", path=directory)
        os.makedirs(os.path.join(directory, "db"))
        run.add("setting", path=setting, old="second")
        files.write_text(setting, "third")
        self.assertEqual(run.undo(), [])
        self.assertEqual(self.read("setting"), "first")
        self.assertFalse(os.path.exists(directory))
        self.assertEqual(os.listdir(self.state), [])

    def test_what_the_run_took_away_itself_is_left_to_its_next_owner(self):
        enclave = os.path.join(self.top, "enclave_1")
        ctl = self.file("enclave_1/ctl", "")
        run = Journal(self.state)
        run.add("enclave", path=enclave)
        run.add("gone", path=enclave)
        self.assertEqual(run.undo(), [])
        self.assertEqual(self.read(ctl), "")
        run = Journal(self.state)
        run.add("enclave", path=enclave)
        run.add("gone", path=enclave)
        run.add("enclave", path=enclave)
        self.assertEqual(run.undo(), [])
        self.assertEqual(self.read(ctl), "destroy")

    def test_what_was_announced_and_never_done_does_no_harm(self):
        run = Journal(self.state)
        for kind in ("directory", "mount", "cgroup", "enclave"):
            run.add(kind, path=os.path.join(self.top, "none"))
        self.assertEqual(run.undo(), [])

    def test_what_cannot_be_undone_is_said(self):
        run = Journal(self.state)
        run.add("setting", path=self.top, old="x")
        self.assertEqual(run.undo(), [f"{self.top}: Is a directory"])

    def test_a_cut_off_line_was_not_acted_upon(self):
        path = self.file("x.journal", '{"kind": "run", "id": "none", "pid": 1}\n{"kind": "direc')
        self.assertEqual([entry["kind"] for entry in journal.read(path)], ["run"])

    def test_a_place_that_is_not_ours(self):
        with self.assertRaises(ExperimentError) as caught:
            Journal("/proc/none")
        self.assertEqual(caught.exception.code, PERMISSION)

    def test_the_next_run_undoes_a_dead_one_and_leaves_a_living_one(self):
        dead, living = os.path.join(self.top, "dead"), os.path.join(self.top, "living")
        first, _ = self.dying_run(dead)
        second, path = self.dying_run(living)
        self.assertEqual(journal.undo_dead_runs(self.state), [])
        self.assertEqual(set(journal.living_runs(self.state)), {first.pid, second.pid})
        first.stdin.close()
        first.wait()
        self.assertEqual(journal.living_runs(self.state), [second.pid])
        self.assertTrue(os.path.isdir(dead))
        self.assertEqual(len(journal.undo_dead_runs(self.state)), 1)
        self.assertFalse(os.path.exists(dead))
        self.assertTrue(os.path.isdir(living))
        self.assertEqual(os.listdir(self.state), [os.path.basename(path)])

    def test_the_guardian_undoes_at_once(self):
        directory = os.path.join(self.top, "work")
        process, path = self.dying_run(directory)
        watcher = guardian.start(path)
        self.assertTrue(os.path.isdir(directory))
        process.stdin.close()
        self.assertEqual(watcher.wait(timeout=30), 0)
        self.assertFalse(os.path.exists(directory))
        self.assertFalse(os.path.exists(path))

    def test_the_guardian_ends_with_an_orderly_run(self):
        run = Journal(self.state)
        watcher = guardian.start(run.path)
        run.undo()
        self.assertEqual(watcher.wait(timeout=30), 0)

    def test_processes_of_a_run_end_whoever_started_them(self):
        run = Journal(self.state)
        mark = {**os.environ, procfs.RUN_VARIABLE: run.run_id, procfs.ROLE_VARIABLE: "agent"}
        # A child that leaves its own child behind; both say when they are there.
        script = "setsid bash -c 'trap \"\" INT TERM; echo inner; read -t 60 <> <(:)' & echo outer; wait"
        process = subprocess.Popen(["bash", "-c", script], env=mark, stdout=subprocess.PIPE, text=True)
        self.assertEqual({process.stdout.readline(), process.stdout.readline()}, {"inner\n", "outer\n"})
        self.assertGreaterEqual(len(procfs.processes_of_run(run.run_id)), 2)
        self.assertEqual(run.undo(), [])
        self.assertEqual(procfs.processes_of_run(run.run_id), {})
        process.wait()
        process.stdout.close()


class SettingsTest(Case):
    def machine(self):
        for cpu in (0, 1):
            for state in (0, 1, 2, 3):
                self.file(f"sys/devices/system/cpu/cpu{cpu}/cpuidle/state{state}/disable", "0\n")
        base = "sys/devices/system/cpu/cpu1/cpufreq/"
        self.file(base + "scaling_available_governors", "powersave performance\n")
        self.file(base + "scaling_governor", "powersave\n")
        self.file("proc/sys/kernel/nmi_watchdog", "0\n")

    def test_only_what_the_run_uses_and_what_is_not_so_already(self):
        self.machine()
        found = [os.path.relpath(change.path, self.top) for change in settings.changes([1], self.top)]
        self.assertEqual(found, ["sys/devices/system/cpu/cpu1/cpuidle/state2/disable",
                                 "sys/devices/system/cpu/cpu1/cpuidle/state3/disable",
                                 "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor"])
        self.assertEqual(len(settings.describe([1], self.top)), 3)
        self.assertEqual(self.read("sys/devices/system/cpu/cpu1/cpuidle/state2/disable"), "0\n")

    def test_tuned_and_put_back(self):
        self.machine()
        run = Journal(self.state)
        self.assertEqual(len(settings.tune([0, 1], run, self.top)), 5)
        governor = "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor"
        self.assertEqual(self.read(governor), "performance")
        self.assertEqual(run.undo(), [])
        self.assertEqual(self.read(governor), "powersave")
        self.assertEqual(settings.changes([0, 1], self.top)[0].old, "0")

    def test_it_is_written_down_before_it_is_changed(self):
        self.machine()
        run = Journal(self.state)
        with mock.patch.object(settings, "write_text", side_effect=PermissionError(13, "Permission denied")):
            with self.assertRaises(ExperimentError) as caught:
                settings.tune([1], run, self.top)
        self.assertEqual(caught.exception.code, PERMISSION)
        self.assertEqual([entry["kind"] for entry in journal.read(run.path)], ["run", "setting"])
        run.undo()

    def test_a_machine_without_any_of_them(self):
        self.assertEqual(settings.changes([0, 1], self.top), [])


class CgroupTest(Case):
    def machine(self, own, **controllers):
        self.file("proc/self/mounts", "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
                  "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n")
        self.file("proc/self/cgroup", f"4:cpu:/\n0::{own}\n")
        for path, text in controllers.items():
            self.file(f"sys/fs/cgroup/unified/{path.replace('_', '/')}/cgroup.subtree_control", text)

    def test_the_innermost_place_with_the_controller(self):
        self.machine("/user/session", user="cpu memory", user_session="")
        place = cgroups.find_place(self.top)
        self.assertEqual(place, os.path.join(self.top, "sys/fs/cgroup/unified/user"))

    def test_nowhere(self):
        self.machine("/user", user="memory")
        self.assertIsNone(cgroups.find_place(self.top))
        self.assertIsNone(cgroups.find_place(os.path.join(self.top, "empty")))

    def test_two_groups_that_go_away(self):
        self.machine("/", **{"": "cpu cpuset"})
        place = cgroups.find_place(self.top)
        run = Journal(self.state)
        groups = cgroups.make(place, run.run_id, run, [1, 2, 3], [2, 3])
        self.assertTrue(groups.cpuset)
        for path, weight, cpus in ((groups.latency, "10000", "1-3"), (groups.batch, "1", "2-3")):
            for name, text in (("cpu.weight", weight), ("cpuset.cpus", cpus)):
                with open(os.path.join(path, name), encoding="ascii") as file:
                    self.assertEqual(file.read(), text)
                os.unlink(os.path.join(path, name))  # a real cgroup's files are not in its way
        self.assertEqual(run.undo(), [])
        self.assertFalse(os.path.exists(groups.latency) or os.path.exists(groups.batch))


class StateDirectoryTest(unittest.TestCase):
    def test_the_environment_goes_first(self):
        with mock.patch.dict(os.environ, {"GHOST_EXPERIMENTS_STATE": "/x"}):
            self.assertEqual(journal.state_directory(), "/x")

    def test_complaints_of_dead_runs_are_said(self):
        with tempfile.TemporaryDirectory() as state:
            files.write_text(os.path.join(state, "a.journal"), '{"kind": "run", "id": "none", "pid": 999999999}\n'
                               f'{{"kind": "setting", "path": "{state}", "old": ""}}\n')
            with mock.patch("sys.stderr", io.StringIO()) as said:
                self.assertEqual(journal.undo_dead_runs(state, wait=True), ["a"])
            self.assertEqual(said.getvalue(), f"cannot restore {state}: Is a directory\n")


if __name__ == "__main__":
    unittest.main()

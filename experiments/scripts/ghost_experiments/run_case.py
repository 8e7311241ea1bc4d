"""What tests of whole runs share: a folder for all that a run makes, its processes, and what must not be left of it."""
import contextlib
import json
import os
import subprocess
import tempfile
import unittest

from experiments.scripts.ghost_experiments import journal, procfs

SCRIPTS = "experiments/scripts"
DEADLINE_S = 60


@unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "an experiment takes two CPUs")
class RunCase(unittest.TestCase):
    """`bin` is the folder of the programs, `environment` that of the scripts."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = directory.name
        self.bin, self.state, self.temporary, self.output = (
            os.path.join(self.top, name) for name in ("bin", "state", "tmp", "out"))
        os.mkdir(self.temporary)
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
        return self.end_of(self.start(*words, **variables), DEADLINE_S * 2)

    def whole(self, *words, **variables):
        return self.run_script(*words, "--scale", "auto", "--duration", "10s", "--output", self.output, "--no_report",
                               **variables)

    def results(self):
        with open(os.path.join(self.output, "results.json"), encoding="utf-8") as file:
            return json.load(file)

    def assert_nothing_left(self):
        def left():
            return list(self.roles()) + os.listdir(self.state) + os.listdir(self.temporary)
        self.assertTrue(journal.wait_until(lambda: not left(), DEADLINE_S), left())
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            self.assertNotIn(self.temporary, mounts.read())

    @staticmethod
    def role_of_script(pid):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
            return "guardian" if "guardian.py" in file.read() else "script"
        return "script"

    def roles(self):
        """The living programs of this test's run."""
        found = {}
        for pid in procfs.pids():
            variables = procfs.environment(pid)
            if variables.get("GHOST_EXPERIMENTS_STATE") == self.state and procfs.lives(pid):
                role = variables.get(procfs.ROLE_VARIABLE) or self.role_of_script(pid)
                # Of a role's several processes (an agent's child, ghostd's guardian) the oldest.
                found[role] = min(pid, found.get(role, pid))
        return found

    def in_the_middle(self, *words, own_ghostd=True, **variables):
        """A run of which all parts are at work, in a point that takes a while."""
        process = self.start("ghost", "--loads", "500", "--duration", "30s", "--output", self.output, "--scale", "auto",
                             *words, FAKE_SECONDS="1", **variables)
        # The batch application comes last.
        wanted = {"agent_shinjuku", "rocksdb", "antagonist"} | ({"ghostd"} if own_ghostd else set())

        def at_work():
            return wanted <= set(self.roles()) and process.poll() is None
        self.assertTrue(journal.wait_until(at_work, DEADLINE_S), (self.roles(), process.poll()))
        return process

    @staticmethod
    def end_of(process, seconds=DEADLINE_S):
        out, err = process.communicate(timeout=seconds)
        return process.returncode, out, err

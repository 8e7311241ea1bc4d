#!/usr/bin/env python3
"""The scheduling tools against loads of which is known what they do: known_load says what the kernel has counted.

Runs as root, on stock kernels and over a ghostd of its own. By hand: BIN=bazel-bin bpf/tools/tools_test.py [TEST...]
"""
import contextlib
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

BIN = os.environ.get("BIN", ".")
TOOLS = ("schedclasstop", "schedfair", "schedghostidle", "schedlat", "schedrun")
LOAD = os.path.join(BIN, "bpf/tools/known_load")
NO_GHOST = "/nonexistent"
MS = 1_000_000
# QEMU's interpreter is no machine to measure times on, and its clocks may run ahead: then only what is counted is
# compared.
TIMES_MATTER = os.environ.get("VM_ACCEL") != "tcg"
DEADLINE_S = 60 if TIMES_MATTER else 600


def program(name):
    return os.path.join(BIN, name)


class Process:
    """A program in the background, whose output is read line by line with a deadline."""

    def __init__(self, *words, **env):
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        env={**os.environ, **env})
        self.ahead = b""  # read already, not yet looked at

    def read(self, deadline):
        """More output, or none at its end."""
        out = self.process.stdout
        if not select.select([out], [], [], max(deadline - time.monotonic(), 0))[0]:
            raise AssertionError(f"{self.process.args}: nothing more in time after {self.ahead}")
        return os.read(out.fileno(), 65536)

    def expect(self, text):
        """The next line that contains the text."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            line, end, rest = self.ahead.partition(b"\n")
            if end:
                self.ahead = rest
                if text in line.decode():
                    return line.decode()
                continue
            more = self.read(deadline)
            if not more:
                raise AssertionError(f"{self.process.args}: ended without {text!r}: {self.ahead}")
            self.ahead += more

    def tell(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def end(self, number=None):
        """Its last output and its exit status."""
        if number is not None:
            self.process.send_signal(number)
        self.process.stdin.close()
        deadline = time.monotonic() + DEADLINE_S
        while more := self.read(deadline):
            self.ahead += more
        return self.ahead.decode(), self.process.wait(DEADLINE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()


class Load(Process):
    """known_load: made, started by go(), which returns what its threads did."""

    def __init__(self, *words):
        super().__init__(LOAD, *(str(word) for word in words))
        _, self.pid, *self.tids = self.expect("ready").split()

    def go(self):
        self.tell("go")
        return json.loads(self.expect("threads"))["threads"]


class Tool(Process):
    """A tool that counts already; report() ends it."""

    def __init__(self, name, *words, ghostfs=NO_GHOST, inside=()):
        super().__init__(*inside, program(name), "--json", *words, GHOSTFS=ghostfs)
        self.expect("Ctrl-c to exit")

    def report(self):
        out, status = self.end(signal.SIGINT)
        if status != 0:
            raise AssertionError(f"exit status {status}: {out}")
        return json.loads(out.splitlines()[-1])


def measure(name, load, *words, **options):
    """What the load did, and what the tool says of it."""
    with Tool(name, *words, **options) as tool:
        threads = load.go()
        return threads, tool.report()


def total_ns(histogram):
    return histogram["count"] * histogram["mean_ns"]


def count_from(histogram, ns):
    return sum(row["count"] for row in histogram["rows"] if row["from_ns"] >= ns)


def idle_ns(cpu):
    """As the kernel counts it, in steps of 10 ms."""
    with open("/proc/stat") as file:
        (words,) = (line.split() for line in file if line.startswith(f"cpu{cpu} "))
    return (int(words[4]) + int(words[5])) * 10 * MS  # idle, and idle while a disk works


def add(threads, name):
    return sum(thread[name] for thread in threads)


class StockTest(unittest.TestCase):
    """Ordinary and real-time threads, no ghost kernel."""

    cpu = os.cpu_count() - 1

    def near(self, value, expected, fraction, slack=0):
        """A tool measures runs by a clock; what interrupts or a hypervisor take of them a thread does not count."""
        if TIMES_MATTER:
            self.assertLessEqual(abs(value - expected), expected * fraction + slack, (value, expected))

    def test_schedrun_lockstep(self):
        with Load("lockstep", self.cpu, 100, 5) as load:
            (thread,), report = measure("schedrun", load, "-p", load.pid)
        # The process's other thread, and the beginning and the end of this one, are a few runs more.
        self.assertIn(report["blocked"]["count"] - thread["blocks"], range(0, 16), (thread, report["blocked"]))
        self.assertIn(report["preempted_or_yielded"]["count"] - thread["preemptions"], range(0, 16), (thread, report))
        self.near(total_ns(report["all"]), thread["run_ns"], 0.1, 2 * MS)
        if thread["preemptions"] == 0:
            self.near(report["blocked"]["p50_ns"], 5 * MS, 0.15)
        self.assertEqual(report["lost"], 0)

    def test_schedlat_chain(self):
        with Load("chain", self.cpu, 100, 5) as load:
            threads, report = measure("schedlat", load, "-p", load.pid)
        self.near(total_ns(report["runnable_to_run"]), add(threads, "wait_ns"), 0.1, 10 * MS)
        self.assertIn(count_from(report["runnable_to_run"], 4096000), range(95, 130), report)
        self.assertEqual(report["latched_to_run"]["count"], 0)

    def test_schedfair_lives_by_nice(self):
        with Load("nice", self.cpu, 2000) as load:
            threads, report = measure("schedfair", load, "-p", load.pid)
        lives = {row["nice"]: row for row in report["lives"]}
        for thread in threads:
            life = lives[thread["nice"]]
            self.near(life["run_ns"], thread["run_ns"], 0.1, 5 * MS)
            self.near(life["share"], thread["run_ns"] / (thread["run_ns"] + thread["wait_ns"]), 0.1, 0.02)
        # Linux's weights are 1024 and 335.
        self.near(lives[0]["run_ns"] / lives[5]["run_ns"], 1024 / 335, 0.25)

    def test_schedfair_stretches(self):
        with Load("ghost_chain", self.cpu, 100, 2) as load:
            threads, report = measure("schedfair", load, "-p", load.pid)
        self.assertIn(add(report["stretches"], "count") - add(threads, "blocks"), range(-2, 16), (threads, report))
        self.near(add(report["stretches"], "run_ns"), add(threads, "run_ns"), 0.1, 5 * MS)
        self.near(add(report["stretches"], "wait_ns"), add(threads, "wait_ns"), 0.1, 10 * MS)

    def test_schedclasstop_one_process(self):
        with Load("lockstep", self.cpu, 100, 5) as load:
            (thread,), report = measure("schedclasstop", load, "-p", load.pid)
        self.near(report["total"]["rt_ns"], thread["run_ns"], 0.1, 2 * MS)
        on_cpu = [row["rt_ns"] for row in report["cpus"] if row["cpu"] == self.cpu]
        self.near(on_cpu[0], thread["run_ns"], 0.1, 2 * MS)

    def test_schedclasstop_adds_up(self):
        with Load("lockstep", self.cpu, 100, 5) as load:
            (thread,), report = measure("schedclasstop", load)
        for row in report["cpus"]:
            self.near(sum(ns for name, ns in row.items() if name != "cpu"), report["seconds"] * 1e9, 0.03, 20 * MS)
        self.assertGreaterEqual(report["total"]["rt_ns"], thread["run_ns"] * 0.98)
        self.assertEqual(len(report["cpus"]), len(os.sched_getaffinity(0)))

    def test_in_a_pid_namespace(self):
        """Pids there are not the kernel's own."""
        result = run("unshare", "-fp", "--mount-proc", "/usr/bin/python3", __file__, "StockTest.test_schedrun_lockstep")
        if "unshare:" in result.stderr:
            self.skipTest(result.stderr)
        self.assertEqual(result.returncode, 0, result)

    def test_cgroup(self):
        with open("/proc/mounts") as file:
            mounts = [line.split()[1] for line in file if line.split()[2] == "cgroup2"]
        if not mounts:
            self.skipTest("no cgroup2 is mounted")
        outer = os.path.join(mounts[0], f"tools_test_{os.getpid()}")
        inner, other = os.path.join(outer, "inner"), os.path.join(outer, "other")
        try:
            for directory in (outer, inner, other):
                os.mkdir(directory)
        except OSError as error:
            self.skipTest(f"no cgroup can be made: {error}")
        try:
            with Load("lockstep", self.cpu, 50, 5) as load:
                with open(os.path.join(inner, "cgroup.procs"), "w") as procs:
                    procs.write(load.pid)
                with Tool("schedrun", "--cgroup", other) as elsewhere:
                    (thread,), report = measure("schedrun", load, "--cgroup", outer)
                    self.assertEqual(elsewhere.report()["all"]["count"], 0)
            self.assertIn(report["blocked"]["count"] - thread["blocks"], range(0, 16))
            self.near(total_ns(report["all"]), thread["run_ns"], 0.1, 2 * MS)
        finally:
            deadline = time.monotonic() + DEADLINE_S  # a process's end empties its cgroup a little later
            for directory in (inner, other, outer):
                while True:
                    try:
                        os.rmdir(directory)
                        break
                    except OSError:
                        if time.monotonic() > deadline:
                            raise
                        time.sleep(0.01)


class GhostTest(unittest.TestCase):
    """Tasks that an agent schedules, over a ghostd of this test's own."""

    ROUNDS = 60
    GATE = "auto"
    SLACK = 0.15

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.mount = os.path.join(self.stack.enter_context(tempfile.TemporaryDirectory()), "ghost")
        ghostd = self.stack.enter_context(Process(program("ghostd"), "--mount", self.mount, "--gate", self.GATE))
        self.stack.callback(ghostd.end, signal.SIGINT)
        ghostd.expect("serving")
        self.ghostd = ghostd.process.pid
        agent = self.stack.enter_context(
            Process(program("fifo_per_cpu_agent"), "--ghostfs", self.mount, "--ghost_cpus", "0"))
        self.stack.callback(agent.end, signal.SIGINT)
        agent.expect("ghOSt active")

    def measure(self, name, *words, **options):
        """One thread that another wakes can't run until that one blocks, 5 ms later: the agent does not preempt."""
        with Load("ghost_chain", 0, self.ROUNDS, 5) as load:
            for tid in load.tids:
                with open(os.path.join(self.mount, "enclave_1/tasks"), "w") as tasks:
                    tasks.write(tid)
            before = self.commits()
            # Somebody else's work, that must not be counted.
            with Load("lockstep", 0, 20, 2) as other:
                other.tell("go")
                threads, report = measure(name, load, *words, ghostfs=self.mount, **options)
                other.expect("threads")
            return threads, report, self.commits() - before

    def commits(self):
        with open(os.path.join(self.mount, "stats")) as stats:
            return json.load(stats)["enclaves"][0]["commits"].get("complete", 0)

    def test_schedlat(self):
        threads, report, commits = self.measure("schedlat", "-g")
        latched = report["runnable_to_latched"]
        self.assertIn(latched["count"] - commits, range(-6, 7), (commits, report))
        self.assertIn(report["latched_to_run"]["count"] - latched["count"], range(-3, 4), report)
        self.assertIn(report["runnable_to_run"]["count"] - latched["count"], range(-3, 4), report)
        self.assertGreaterEqual(count_from(latched, 4096000), 0.9 * self.ROUNDS, latched)
        self.assertGreater(report["runnable_to_run"]["mean_ns"], latched["mean_ns"])
        self.assertGreater(add(threads, "blocks"), self.ROUNDS)

    def test_schedrun(self):
        threads, report, _ = self.measure("schedrun", "-g")
        # A thread also stops at its gate after each block: no run of its own, which is what must not be counted.
        self.assertIn(report["blocked"]["count"], range(2 * self.ROUNDS - 10, 2 * self.ROUNDS + 10), report["blocked"])
        if TIMES_MATTER:
            ran = add(threads, "run_ns")
            self.assertLess(abs(total_ns(report["all"]) - ran), self.SLACK * ran, (ran, report["all"]))

    def test_tasks_of_another_ghostd(self):
        mount = self.mount + "_other"
        with Process(program("ghostd"), "--mount", mount) as ghostd:
            ghostd.expect("serving")
            with Tool("schedrun", "-g", ghostfs=mount) as tool:
                threads, report, _ = self.measure("schedrun", "-g")
                self.assertGreater(add(threads, "blocks"), 0)
                self.assertGreater(report["all"]["count"], self.ROUNDS)
                self.assertEqual(tool.report()["all"]["count"], 0)
            self.assertEqual(ghostd.end(signal.SIGINT)[1], 0)

    def test_schedghostidle(self):
        before = idle_ns(0)
        _, report, commits = self.measure("schedghostidle", "-g")
        idle = idle_ns(0) - before
        self.assertIn(report["latches"] - commits, range(-6, 7), (commits, report))
        self.assertEqual(report["bpf_latches"], 0)
        self.assertEqual(report["idle_to_latched"]["count"], report["idle_latches"])
        self.assertLessEqual(report["idle_latches"], report["latches"])
        self.assertLessEqual(total_ns(report["idle_to_latched"]), idle + 50 * MS)
        # The first thread sleeps for 5 ms, and so does the CPU unless others want it.
        if idle > self.ROUNDS * 5 * MS / 2:
            self.assertGreater(report["idle_latches"], self.ROUNDS / 3, (idle, report))
            self.assertGreater(total_ns(report["idle_to_latched"]), idle / 4, (idle, report))

    def test_schedghostidle_without_ghostds_pid(self):
        """It can't be found out from another network namespace: ghostd is known by its name, and is no work either."""
        os.sched_setaffinity(self.ghostd, {0})
        before = idle_ns(0)
        _, report, _ = self.measure("schedghostidle", "-g", inside=("unshare", "-n"))
        idle = idle_ns(0) - before
        if idle > self.ROUNDS * 5 * MS / 2:
            self.assertGreater(report["idle_latches"], self.ROUNDS / 3, (idle, report))

    def test_schedclasstop(self):
        threads, report, _ = self.measure("schedclasstop")
        if TIMES_MATTER:
            ran = add(threads, "run_ns")
            self.assertLess(abs(report["total"]["ghost_ns"] - ran), self.SLACK * ran, (ran, report))
        self.assertGreater(report["total"]["agent_ns"], 0)
        self.assertGreater(report["total"]["rt_ns"], 0)

    def test_schedfair(self):
        threads, report, _ = self.measure("schedfair", "-g")
        (row,) = report["stretches"]
        self.assertEqual(row["nice"], 0)
        self.assertIn(row["count"], range(2 * self.ROUNDS - 10, 2 * self.ROUNDS + 10), row)
        # The second thread is held while the first one runs: it waits 5 ms each time.
        self.assertGreater(row["wait_ns"], 0.9 * self.ROUNDS * 5 * MS, row)
        self.assertGreater(add(threads, "blocks"), 0)

class SyscallGateTest(GhostTest):
    """The same where ghostd stops tasks at each of their system calls: such stops end no run, and begin no wait."""

    GATE = "syscall"
    SLACK = 0.3  # a stop costs something


def run(*words, **env):
    return subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
                          stdin=subprocess.DEVNULL, env={**os.environ, "GHOSTFS": NO_GHOST, **env})


class ProgramTest(unittest.TestCase):
    """What the tools say and take, and what they leave behind."""

    def expect_error(self, status, text, *words):
        result = run(*words)
        lines = result.stderr.splitlines()
        self.assertEqual(result.returncode, status, (words, result))
        self.assertEqual(len(lines), 2, (words, result.stderr))
        self.assertIn(text, lines[0])
        self.assertTrue(lines[1].startswith("hint: "), lines)
        self.assertEqual(result.stdout, "")
        return lines[1]

    def expect_nothing_loaded(self):
        bpftool = shutil.which("bpftool") or "/usr/sbin/bpftool"
        deadline = time.monotonic() + DEADLINE_S  # the kernel frees programs a little later
        while True:
            programs = json.loads(run(bpftool, "prog", "show", "-j").stdout)
            left = [one["name"] for one in programs if one.get("name", "").startswith(TOOLS)]
            if not left:
                return
            self.assertLess(time.monotonic(), deadline, left)
            time.sleep(0.05)

    def test_bad_values(self):
        for name in TOOLS:
            tool = program(name)
            self.expect_error(2, "--unit", tool, "--unit", "s")
            self.expect_error(2, "--interval", tool, "--interval", "1ms")
            self.expect_error(2, "--interval", tool, "--interval", "-1s")
            self.expect_error(2, "--interval", tool, "--interval", "inf")
            self.expect_error(2, "--count", tool, "--count", "-1")
            self.expect_error(2, "-p -1", tool, "-p", "-1")
            self.expect_error(1, "no such process", tool, "-p", "4194305")
            self.expect_error(2, "cgroup", tool, "--cgroup", "/tmp")
            self.expect_error(1, "cgroup", tool, "--cgroup", "/nonexistent")
            self.expect_error(2, "unexpected argument", tool, "what")
            self.expect_error(3, NO_GHOST, tool, "-g")
            self.expect_error(3, "/elsewhere", tool, "--ghostfs", "/elsewhere")
        self.expect_nothing_loaded()

    def test_help(self):
        for name in TOOLS:
            result = run(program(name), "--help")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("examples:", result.stdout)

    def test_without_rights(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            for name in TOOLS:
                tool = shutil.copy(program(name), directory)
                hint = self.expect_error(4, "Operation not permitted", "setpriv", "--reuid=65534", "--regid=65534",
                                         "--clear-groups", "--inh-caps=-all", tool, "--count", "1")
                self.assertIn("CAP_PERFMON", hint)
                # Half of what it needs.
                self.expect_error(4, "Operation not permitted", "setpriv", "--reuid=65534", "--regid=65534",
                                  "--clear-groups", "--inh-caps=-all,+bpf", "--ambient-caps=-all,+bpf", tool,
                                  "--count", "1")
        self.expect_nothing_loaded()

    def test_without_btf(self):
        # /boot may have a kernel image with it, too: libbpf looks there.
        script = "for d in /sys/kernel/btf /boot /lib/modules; do [ ! -d $d ] || mount -t tmpfs none $d; done; "
        for name in TOOLS:
            result = run("unshare", "-m", "sh", "-c", script + "exec " + os.path.abspath(program(name)) + " --count 1")
            lines = result.stderr.splitlines()
            if "mount:" in result.stderr:
                self.skipTest(lines[0])
            self.assertEqual(result.returncode, 1, result)
            self.assertIn("no BTF", lines[0])
            self.assertTrue(lines[1].startswith("hint: "), lines)
            self.assertEqual(len(lines), 2, lines)
        self.expect_nothing_loaded()

    def test_intervals(self):
        for name in TOOLS:
            result = run(program(name), "--json", "--interval", "100ms", "--count", "3")
            self.assertEqual((result.returncode, result.stderr), (0, "Ctrl-c to exit\n"), result)
            reports = [json.loads(line) for line in result.stdout.splitlines()]
            self.assertEqual([report["report"] for report in reports], ["interval"] * 3 + ["total"])
            self.assertTrue(all(report["tool"] == name for report in reports))
            self.assertGreaterEqual(reports[-1]["seconds"], 0.3)
            if name == "schedrun":
                counts = [report["all"]["count"] for report in reports]
                self.assertLessEqual(sum(counts[:3]), counts[3])
                self.assertGreater(counts[3], 0)
        self.expect_nothing_loaded()

    def test_text_in_every_unit(self):
        for name in TOOLS:
            for unit in ("ns", "us", "ms"):
                result = run(program(name), "--unit", unit, "--interval", "50ms", "--count", "1")
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertTrue(result.stdout.startswith(f"Ctrl-c to exit\n{name}: all tasks, "), result.stdout)
                self.assertNotIn("\033", result.stdout)

    def test_ends_by_sigterm(self):
        for name in TOOLS:
            with Process(program(name), GHOSTFS=NO_GHOST) as tool:
                tool.expect("Ctrl-c to exit")
                out, status = tool.end(signal.SIGTERM)
                self.assertEqual(status, 0)
                self.assertIn(f"{name}: all tasks, ", out)
        self.expect_nothing_loaded()

    def test_kill_leaves_nothing(self):
        for name in TOOLS:
            with Process(program(name), GHOSTFS=NO_GHOST) as tool:
                tool.expect("Ctrl-c to exit")
                self.assertEqual(tool.end(signal.SIGKILL)[1], -signal.SIGKILL)
        self.expect_nothing_loaded()

    def test_live_view(self):
        ours, theirs = pty.openpty()
        with subprocess.Popen([program("schedrun"), "--interval", "50ms", "--count", "2"], stdout=theirs,
                              stdin=subprocess.DEVNULL, env={**os.environ, "GHOSTFS": NO_GHOST}) as tool:
            os.close(theirs)
            out = b""
            with contextlib.suppress(OSError):  # the terminal's end
                while chunk := os.read(ours, 65536):
                    out += chunk
            self.assertEqual(tool.wait(DEADLINE_S), 0)
        os.close(ours)
        self.assertEqual(out.count(b"\033[H\033[J"), 3, out)

    @unittest.skipUnless("LOCK_DOWN" in os.environ, "a kernel stays locked down until the next boot")
    def test_when_locked_down(self):
        """Must be the last one; tests/vm/tools_set.sh asks for it."""
        with open("/sys/kernel/security/lockdown", "w") as file:
            file.write("confidentiality")
        for name in TOOLS:
            # A cgroup is some pointers away. Tools that need nothing so far away go on.
            hint = self.expect_error(4, "locked down", program(name), "--count", "1", "--cgroup", "/sys/fs/cgroup")
            self.assertIn("lockdown=integrity", hint)
        self.expect_nothing_loaded()


if __name__ == "__main__":
    unittest.main()

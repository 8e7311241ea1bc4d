#!/usr/bin/env python3
"""What ghostsim says and does as a user calls it."""
import json
import os
import subprocess
import tempfile
import unittest

GHOSTSIM = "util/ghostsim"
WORKLOADS = "kernel/usermode/sim/workloads"


def run(*args, text=None):
    return subprocess.run([GHOSTSIM, *args], input=text, capture_output=True, text=True, timeout=120, check=False)


class GhostsimTest(unittest.TestCase):
    def expect_usage(self, wanted, *args, text=None):
        result = run(*args, text=text)
        self.assertEqual(result.returncode, 2, result)
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 2, result.stderr)
        self.assertTrue(lines[0].startswith("ghostsim: "), lines[0])
        self.assertIn(wanted, lines[0])
        self.assertTrue(lines[1].startswith("hint: "), lines[1])

    def test_every_example_runs(self):
        names = sorted(os.listdir(WORKLOADS))
        self.assertIn("rocksdb.txt", names)
        for name in names:
            result = run("--workload", os.path.join(WORKLOADS, name), "--duration", "2ms", "--cpus", "2")
            self.assertEqual(result.returncode, 0, (name, result.stderr))
            self.assertIn("throughput: ", result.stdout)

    def test_json_says_the_same_twice(self):
        args = ("--workload", WORKLOADS + "/mixed.txt", "--seed", "5", "--json")
        first, second = (json.loads(run(*args).stdout) for _ in range(2))
        for real in ("real_seconds", "cpu_seconds", "events_per_second"):
            self.assertGreater(first.pop(real), 0)
            second.pop(real)
        self.assertEqual(first, second)
        self.assertEqual(first["seed"], 5)
        self.assertGreater(first["commits"]["complete"], 1000)

    def test_traces(self):
        with tempfile.TemporaryDirectory() as directory:
            for name in ("a.txt", "a.json"):
                path = os.path.join(directory, name)
                result = run("--workload", WORKLOADS + "/mixed.txt", "--duration", "1ms", "--trace", path)
                self.assertEqual(result.returncode, 0, result.stderr)
                with open(path) as file:
                    content = file.read()
                if name.endswith(".json"):
                    self.assertGreater(len(json.loads(content)["traceEvents"]), 500)
                else:
                    self.assertIn(" agent runs\n", content)
        result = run("--workload", WORKLOADS + "/mixed.txt", "--trace", "/nowhere/x")
        self.assertEqual(result.returncode, 1)
        self.assertIn("ghostsim: cannot write /nowhere/x", result.stderr)

    def test_seeds(self):
        result = run("--workload", WORKLOADS + "/mixed.txt", "--seeds", "1-5", "--faults", "all", "--abi", "0")
        self.assertEqual((result.returncode, result.stdout), (0, "5 of 5 seeds passed\n"), result.stderr)

    def test_a_failure_names_its_seed(self):
        # A task that never leaves its CPU, and another one that waits for that.
        result = run("--workload", "-", "--cpus", "1", "--faults", "ping", "--seed", "9", "--liveness", "5ms",
                     text="duration 1ms\nclass a count 2 { run 10s }\n")
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("ghostsim: seed 9: 1 runnable tasks have not run", result.stderr)
        self.assertGreater(len(result.stderr.splitlines()), 5)

    def test_pnt_is_another_schedule(self):
        args = ("--workload", WORKLOADS + "/mixed.txt", "--policy", "fifo_centralized", "--json")
        without, with_rings = (json.loads(run(*args, *more).stdout) for more in ((), ("--pnt",)))
        self.assertLess(with_rings["commits"]["complete"], without["commits"]["complete"])

    def test_usage(self):
        mixed = WORKLOADS + "/mixed.txt"
        self.expect_usage("--pnt: cfs shows no CPU who waits", "--pnt", "--policy", "cfs", "--workload", mixed)
        self.expect_usage("no --workload given")
        self.expect_usage("--policy x", "--policy", "x", "--workload", mixed)
        self.expect_usage("--cpus 0", "--cpus", "0", "--workload", mixed)
        self.expect_usage("--abi 12", "--abi", "12", "--workload", mixed)
        self.expect_usage("--seeds 5-1", "--seeds", "5-1", "--workload", mixed)
        self.expect_usage("there is no fault 'x'", "--faults", "x", "--workload", mixed)
        self.expect_usage("there is no cost x", "--cost", "x=1", "--workload", mixed)
        self.expect_usage("stdin:2: there is no statement 'x'", "--workload", "-", text="\nx")
        result = run("--workload", "/nowhere/x")
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot open /nowhere/x", result.stderr)

    def test_help_has_the_grammar(self):
        result = run("--help")
        self.assertEqual(result.returncode, 0)
        for word in ("fifo_per_cpu", "class NAME", "bimodal", "hotplug", "--seeds"):
            self.assertIn(word, result.stdout)


if __name__ == "__main__":
    unittest.main()

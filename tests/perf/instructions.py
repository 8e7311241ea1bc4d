"""Instructions per operation of a benchmark's measured regions, by callgrind: the same on any machine, busy or not.

What is counted, and what is not, lib/base/testing/measure.h says.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile


class Failed(Exception):
    """What, and a hint."""


def run(command, **kwargs):
    result = subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["exit status %d" % result.returncode]
        raise Failed("%s: %s" % (command[0], lines[-1]), "run it by hand: " + " ".join(command))
    return result


def benchmark(binary, pattern, directory, prefix=(), env=None, more=()):
    """The benchmarks of a program that a regular expression finds, as the library reports them."""
    report = os.path.join(directory, "report.json")
    run([*prefix, binary, "--benchmark_filter=" + pattern, "--benchmark_out=" + report, "--benchmark_out_format=json",
         *more], env=env)
    with open(report, encoding="utf-8") as file:
        return json.load(file)["benchmarks"]


def name_of(entry):
    """BM_Turn<FifoPolicy>/N:10, without what the library adds."""
    return re.sub(r"/(iterations:\d+|manual_time)(?=/|$)", "", entry["run_name"])


def profile_total(path):
    with open(path, encoding="utf-8") as file:
        return int(re.search(r"^(?:totals|summary): (\d+)", file.read(), re.M).group(1))


def count(binary, pattern="."):
    """{name: {instructions, allocations (both per operation), measurable}}."""
    if not shutil.which("valgrind"):
        raise Failed("valgrind is not installed", "util/setup.sh")
    with tempfile.TemporaryDirectory() as directory:
        profile = os.path.join(directory, "callgrind.out")
        # Addresses, and what the C library finds in the CPU, are the same everywhere.
        env = dict(os.environ, COUNT_INSTRUCTIONS="1", GLIBC_TUNABLES="glibc.cpu.hwcaps=-AVX2,-AVX512F,-ERMS,-FSRM")
        prefix = ["setarch", "-R"] if not subprocess.run(["setarch", "-R", "true"], capture_output=True,
                                                         check=False).returncode else []
        entries = benchmark(binary, pattern, directory, [
            *prefix, "valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*MeasuredRegion*",
            "--toggle-collect=*UncountedRegion*", "--dump-after=*EndOfRun*", "--callgrind-out-file=" + profile], env)
        # One profile for each run, and one for what came after the last.
        profiles = sorted(glob.glob(profile + ".*"), key=lambda path: int(path.rpartition(".")[2]))
        if len(profiles) not in (len(entries), len(entries) + 1):
            raise Failed("%d profiles of %d benchmarks" % (len(profiles), len(entries)), "run one of them by hand")
        return {name_of(entry): {"instructions": profile_total(path) / entry["operations"],
                                 "allocations": entry["allocations"], "measurable": bool(entry["measurable"])}
                for entry, path in zip(entries, profiles)}


def time(binary, pattern=".", repetitions=3):
    """{name: median ns per operation}."""
    with tempfile.TemporaryDirectory() as directory:
        entries = benchmark(binary, pattern, directory, more=[
            "--benchmark_min_time=0.05", "--benchmark_repetitions=%d" % repetitions,
            "--benchmark_report_aggregates_only=true"])
        return {name_of(entry): entry["time_per_operation"] * 1e9 for entry in entries
                if entry.get("aggregate_name") == "median"}

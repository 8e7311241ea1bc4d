#!/usr/bin/env python3
"""Counts the instructions per operation of a benchmark's measured regions, with callgrind.

    bazel build -c opt //lib:hot_path_benchmark
    util/instructions.py bazel-bin/lib/hot_path_benchmark [FILTER] [--json]

For machines without a hardware counter (most virtual ones). Only code inside MeasuredRegion
(lib/base/testing/measure.h) counts; the figures do not depend on how busy the machine is.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile


def fail(what, hint):
    sys.stderr.write(f"instructions.py: {what}\nhint: {hint}\n")
    sys.exit(1)


def names(binary, pattern):
    """The benchmarks of a program that a regular expression finds."""
    result = subprocess.run([binary, "--benchmark_list_tests", f"--benchmark_filter={pattern}"],
                            capture_output=True, text=True, check=False)
    if result.returncode:
        fail(f"{binary} is no benchmark", "build it: bazel build -c opt //lib:hot_path_benchmark")
    return result.stdout.split()


def measure(binary, name):
    """Instructions and allocations per operation of one benchmark."""
    with tempfile.TemporaryDirectory() as directory:
        profile = os.path.join(directory, "callgrind.out")
        report = os.path.join(directory, "report.json")
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*MeasuredRegion*",
             f"--callgrind-out-file={profile}", binary, f"--benchmark_filter=^{re.escape(name)}$",
             "--benchmark_min_time=0.001", f"--benchmark_out={report}", "--benchmark_out_format=json"],
            capture_output=True, text=True, check=False)
        if run.returncode:
            fail(f"valgrind failed on {name}: {run.stderr.strip().splitlines()[-1]}", "run it by hand")
        with open(profile, encoding="utf-8") as file:
            total = int(re.search(r"^(?:totals|summary): (\d+)", file.read(), re.M).group(1))
        with open(report, encoding="utf-8") as file:
            benchmark = json.load(file)["benchmarks"][0]
    # The library runs a benchmark with growing numbers of iterations until it has run long enough, and reports the last
    # run; callgrind has seen them all.
    return {"name": name, "instructions": total / benchmark["all_operations"],
            "allocations": benchmark["allocations"], "measurable": bool(benchmark["measurable"])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("filter", nargs="?", default=".")
    parser.add_argument("--json", action="store_true", help="one JSON list instead of a table")
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        fail("valgrind is not installed", "apt-get install valgrind")
    results = [measure(arguments.binary, name) for name in names(arguments.binary, arguments.filter)]
    if arguments.json:
        print(json.dumps(results, indent=1))
        return
    print(f"{'benchmark':44} {'instructions':>12} {'allocations':>11}")
    for r in results:
        print(f"{r['name']:44} {r['instructions']:12.1f} {r['allocations']:11.3f}")


if __name__ == "__main__":
    main()

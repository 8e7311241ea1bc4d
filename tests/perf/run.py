#!/usr/bin/env python3
"""Measures every hot path and prints the table; tests/perf/run.sh builds what this runs."""
import argparse
import os
import re
import sys

sys.path.insert(0, os.getcwd())
from tests.perf import instructions, ratchet, table  # noqa: E402

BINARY = "bazel-bin/tests/perf/hot_paths"
LIMITS = "tests/perf/limits.json"


def parse():
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__)
    parser.add_argument("filter", nargs="?", default=".", help="a regular expression: only benchmarks that it finds")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown (the default)")
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--update", action="store_true", help="write %s, for the ratchet; no filter" % LIMITS)
    parser.add_argument("--no-time", action="store_true", help="count instructions only")
    return parser.parse_args()


def where():
    """The machine and its load: what time, not instructions, depends on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = re.findall(r"^model name\s*: (.*)$", file.read(), re.M) or ["unknown CPU"]
    return "On %s, %d CPUs, with a load average of %.1f when it began:\n\n" % (
        models[0], os.cpu_count(), os.getloadavg()[0])


def main():
    arguments = parse()
    machine = where()
    try:
        pattern = ratchet.FILTER if arguments.update else arguments.filter
        counts = instructions.count(BINARY, pattern)
        times = {} if arguments.no_time or arguments.update else instructions.time(BINARY, arguments.filter)
    except instructions.Failed as failed:
        what, hint = failed.args
        sys.stderr.write("run.sh: %s\nhint: %s\n" % (what, hint))
        return 1
    if arguments.update:
        ratchet.write(LIMITS, counts)
        return 0
    entries = table.results(counts, times)
    sys.stdout.write(table.as_json(entries) if arguments.json else machine + table.markdown(entries))
    return 0


if __name__ == "__main__":
    sys.exit(main())

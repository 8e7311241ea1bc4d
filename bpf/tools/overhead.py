#!/usr/bin/python3
"""What each scheduling tool costs while it runs: ns per context switch.

Usage: BIN=bazel-bin bpf/tools/overhead.py [--runs N] [--rounds N] [--cpu CPU] [TOOL [OPTION...]]

Two real-time threads on one CPU wake each other in turn (known_load pingpong): each turn is a wake-up and a switch, and
nobody else runs there. Each run with a tool follows one without, so that a busy machine's moods meet both alike.
Printed are the medians of the runs and of the differences within pairs, and between what the middle half of those lies.
"""
import argparse
import json
import os
import signal
import statistics
import subprocess
from collections.abc import Sequence

BIN = os.environ.get("BIN", "bazel-bin")
TOOLS = ("schedclasstop", "schedfair", "schedghostidle", "schedlat", "schedrun")


def ping_pong(cpu: int, rounds: int) -> float:
    """ns per switch."""
    load = subprocess.run([f"{BIN}/bpf/tools/known_load", "pingpong", str(cpu), str(rounds)], input="go\n",
                          capture_output=True, text=True, timeout=120, check=True)
    threads = json.loads(load.stdout.splitlines()[-1])["threads"]
    return threads[0]["elapsed_ns"] / (2 * rounds)


def with_tool(words: Sequence[str], cpu: int, rounds: int) -> float:
    with subprocess.Popen([f"{BIN}/{words[0]}", *words[1:]], stdout=subprocess.PIPE, text=True) as tool:
        assert tool.stdout is not None
        while "Ctrl-c" not in tool.stdout.readline():
            if tool.poll() is not None:
                raise SystemExit(f"{words[0]} has ended with {tool.returncode}")
        try:
            return ping_pong(cpu, rounds)
        finally:
            tool.send_signal(signal.SIGINT)
            tool.communicate(timeout=60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--rounds", type=int, default=20_000)
    parser.add_argument("--cpu", type=int, default=(os.cpu_count() or 1) - 1)
    parser.add_argument("tool", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    kinds: list[tuple[str, ...]] = [tuple(options.tool)] if options.tool else [(name,) for name in TOOLS]
    without: list[float] = []
    with_it: dict[tuple[str, ...], list[float]] = {kind: [] for kind in kinds}
    more: dict[tuple[str, ...], list[float]] = {kind: [] for kind in kinds}
    for _ in range(options.runs):
        for kind in kinds:
            without.append(ping_pong(options.cpu, options.rounds))
            with_it[kind].append(with_tool(kind, options.cpu, options.rounds))
            more[kind].append(with_it[kind][-1] - without[-1])
    print(f"{os.uname().release}, load {os.getloadavg()[0]:.1f}, {options.runs} pairs of {options.rounds} rounds")
    print(f"{'ns per switch':30} {'median':>8} {'more':>6} {'middle half':>13}")
    print(f"{'no tool':30} {statistics.median(without):8.0f}")
    for kind in kinds:
        low, median, high = statistics.quantiles(more[kind], n=4)
        print(f"{' '.join(kind):30} {statistics.median(with_it[kind]):8.0f} {median:6.0f} {low:6.0f}-{high:<6.0f}")


if __name__ == "__main__":
    main()

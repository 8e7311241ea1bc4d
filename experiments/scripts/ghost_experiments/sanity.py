"""What must hold of every result, whatever the machine: for those who read it, and for the tests."""
import math
from typing import Any

from .parse import PERCENTILES, STAGES

# Percentiles come from a histogram that is exact to 1 %.
TOLERANCE = 1.02
# Enough requests that single ones do not count in the sum of percentiles.
MANY = 4000
# An open-loop generator offers a Poisson number of requests: five standard deviations happen once in a million.
SIGMAS = 5


def complaints(data: dict[str, Any]) -> list[str]:
    """Of rocksdb's results, for any load."""
    found = []
    for kind, stages in data["requests"].items():
        counts = {stages[stage]["total"] for stage in STAGES}
        if len(counts) != 1:
            found.append(f"{kind}: stages count different numbers of requests: {sorted(counts)}")
        for stage in STAGES:
            values = [stages[stage][name] for name in PERCENTILES]
            if values != sorted(values):
                found.append(f"{kind}, {stage}: percentiles are not in order: {values}")
        found += [f"{kind}: {text}" for text in _sum_complaints(stages)]
    return found


def _sum_complaints(stages: dict[str, dict[str, float]]) -> list[str]:
    """total is the sum of the other stages, request by request. So its mean is the sum of the means; the least total is
    at least the sum of the least; the greatest at most the sum of the greatest, and at least each of them; and as at
    most 4 x 0.1 % of requests are beyond p99.9 in any of 4 stages, p99.5 of the total is at most the sum of theirs.
    """
    parts = [stages[stage] for stage in STAGES if stage != "total"]
    total = stages["total"]
    found = []
    means = sum(part["mean_ns"] for part in parts)
    if abs(total["mean_ns"] - means) > 0.001 * means + len(parts):
        found.append(f"the mean total is {total['mean_ns']} ns, the stages' means add up to {means} ns")
    if total["min_ns"] * TOLERANCE < sum(part["min_ns"] for part in parts):
        found.append("the least total is less than the sum of the stages' least")
    if total["max_ns"] > TOLERANCE * sum(part["max_ns"] for part in parts):
        found.append("the greatest total is more than the sum of the stages' greatest")
    if total["max_ns"] * TOLERANCE < max(part["max_ns"] for part in parts):
        found.append("a stage took longer than the whole request")
    if total["total"] >= MANY and total["p99_5_ns"] > TOLERANCE * sum(part["p99_9_ns"] for part in parts):
        found.append("p99.5 of the total is more than the sum of the stages' p99.9")
    return found


def probe_keeps_up(data: dict[str, Any]) -> bool:
    """Whether hardly any request that came in a short run was left over: no matter how many came."""
    return data["unfinished"] <= 0.03 * data["arrived"] + 5


def keeps_up(data: dict[str, Any], slack: float = 0.02) -> bool:
    """Whether it achieved what was offered: below saturation it must."""
    offered = data["offered_per_s"]
    chance = SIGMAS * math.sqrt(offered / max(data["duration_s"], 1e-9))
    return abs(data["achieved_per_s"] - offered) <= offered * slack + chance

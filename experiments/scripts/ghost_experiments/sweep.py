"""The loads of a sweep: the paper's, scaled, or fractions of what a machine was measured to carry."""
import math
from collections.abc import Callable

# Of the measured capacity. Dense where the latency bends; one point beyond it, to show the end.
FRACTIONS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0, 1.2)


def steps(first: int, last: int, step: int) -> list[int]:
    """First to last, both inclusive."""
    return list(range(first, last + 1, step))


def scaled(loads: list[int], factor: float) -> list[int]:
    """The same sweep on a machine of `factor` of the paper's size."""
    return sorted({max(1, round(load * factor)) for load in loads})


def thinned(loads: list[int], count: int) -> list[int]:
    """At most `count` of them, the first and the last among them, evenly spread."""
    if count >= len(loads):
        return loads
    if count == 1:
        return [loads[-1]]
    return sorted({loads[round(index * (len(loads) - 1) / (count - 1))] for index in range(count)})


def round_down(value: float) -> int:
    """To two digits, so that loads read well: 12345 is 12000."""
    if value < 10:
        return max(1, int(value))
    unit = 10 ** (int(math.log10(value)) - 1)
    return int(value // unit * unit)


def of_capacity(capacity_per_s: float, count: int) -> list[int]:
    """`count` loads for a machine that carries `capacity_per_s`."""
    fractions = thinned(list(range(len(FRACTIONS))), count)
    return sorted({round_down(capacity_per_s * FRACTIONS[index]) for index in fractions})


def mean_service_us(get_us: float, range_us: float, range_ratio: float) -> float:
    return (1 - range_ratio) * get_us + range_ratio * range_us


def ideal_capacity_per_s(workers: int, service_us: float) -> float:
    """If nothing but the requests themselves took time."""
    return workers * 1e6 / service_us


# Where the search for what a machine carries begins, below the ideal; how many steps make it exact.
FIRST_PROBE = 1 / 128
LEAST_PROBE_PER_S = 10
BISECTIONS = 2


def search_capacity(keeps_up: Callable[[int], bool], ideal_per_s: float) -> int:
    """The highest load of those tried that is kept up with: doubled until one is not, then halved in between.

    Not measured under overload: where load generator, ghostd and workers share a CPU, more load than can be served
    leaves less than could be.
    """
    load = max(LEAST_PROBE_PER_S, round_down(ideal_per_s * FIRST_PROBE))
    while not keeps_up(load):
        if load <= LEAST_PROBE_PER_S:
            return LEAST_PROBE_PER_S
        load = max(LEAST_PROBE_PER_S, load // 4)
    good, bad = load, 0
    while not bad and good < ideal_per_s:
        load = min(2 * good, math.ceil(ideal_per_s))
        if keeps_up(load):
            good = load
        else:
            bad = load
    for _ in range(BISECTIONS if bad else 0):
        load = round_down(math.sqrt(good * bad))
        if not good < load < bad:
            break
        if keeps_up(load):
            good = load
        else:
            bad = load
    return good

"""The paper's curves: every point of its Figures 5 and 6, read out of the plots (SOSP 2021, pages 596 and 597)."""
import csv
import os

from .point import Point, by_system

_FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "paper")

# Figure 6: 20 worker CPUs, 99.5 % of requests 4 us, 0.5 % 10 ms.
FIG6_WORKERS = 20
FIG6_SERVICE_US = 0.995 * 4 + 0.005 * 10_000


def _rows(name: str) -> list[dict[str, str]]:
    with open(os.path.join(_FOLDER, name), encoding="ascii", newline="") as file:
        return list(csv.DictReader(file))


def figure6(panel: str) -> dict[str, list[Point]]:
    """By system: "a" and "b" are p99 latencies, without and with a batch application; "c" its CPU share."""
    points = []
    for row in _rows("ghost_sosp21_fig6.csv"):
        if row["panel"] == panel:
            value = float(row["p99_us_or_batch_share"])
            load = float(row["kreq_per_s"]) * 1000
            system = {"cfs-shinjuku": "cfs"}.get(row["system"], row["system"])
            points.append(Point(system, load, batch_share=value) if panel == "c" else Point(system, load, p99_us=value))
    return by_system(points)


def figure5() -> dict[str, list[tuple[int, float]]]:
    """By machine ("skylake_28c", "haswell_18c"): (scheduled CPUs, transactions per second)."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in _rows("ghost_sosp21_fig5.csv"):
        curves.setdefault(row["cpu_type"], []).append(
            (int(row["scheduled_cpus"]), float(row["million_txns_per_sec"]) * 1e6))
    return curves

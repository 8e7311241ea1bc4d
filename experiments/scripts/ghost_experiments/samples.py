"""Results as the programs print them, for tests."""
from typing import Any

from .parse import STAGES


def stage(total: int, scale_ns: int, duration_s: float = 10.0) -> dict[str, float]:
    return {"total": total, "throughput": total / duration_s, "min_ns": scale_ns, "mean_ns": 2 * scale_ns,
            "p50_ns": 2 * scale_ns, "p99_ns": 5 * scale_ns, "p99_5_ns": 6 * scale_ns, "p99_9_ns": 8 * scale_ns,
            "max_ns": 20 * scale_ns}


def rocksdb(offered: float = 1000.0, achieved: float | None = None, ranges: bool = False, scale_ns: int = 1000,
            duration_s: float = 10.0) -> dict[str, Any]:
    """A result in which all is as it should be."""
    achieved = offered if achieved is None else achieved
    count = round(achieved * duration_s)

    def stages(total: int) -> dict[str, Any]:
        return {name: stage(total, (4 if name == "total" else 1) * scale_ns, duration_s) for name in STAGES}

    requests = {"all": stages(count), "get": stages(count - 5 if ranges else count)}
    if ranges:
        requests["range"] = stages(5)
    return {"program": "rocksdb", "scheduler": "cfs", "wait_type": "spin", "workers": 1, "duration_s": duration_s,
            "offered_per_s": offered, "achieved_per_s": achieved, "arrived": round(offered * duration_s),
            "unfinished": round((offered - achieved) * duration_s),
            "unfinished_waited_ns": {"p50": 5_000_000, "max": 9_000_000},
            "generator": {"lateness_ns": {"p50": 100, "p99": 900, "max": 5000}}, "requests": requests}


def antagonist(share: float = 0.5, workers: int = 1, duration_s: float = 10.0) -> dict[str, Any]:
    run_ns = round(share * duration_s * 1e9)
    return {"program": "antagonist", "scheduler": "cfs", "duration_s": duration_s, "work_share": 1.0,
            "workers": [{"worker": worker, "run_duration_ns": run_ns, "share": share} for worker in range(workers)],
            "total": {"run_duration_ns": run_ns * workers, "share": share}}


def record(system: str, load: int, achieved: float | None = None, batch_share: float | None = None) -> dict[str, Any]:
    """As the store keeps a point."""
    from . import parse  # pylint: disable=import-outside-toplevel
    data = rocksdb(load, achieved, ranges=True)
    cost = {} if system == "cfs" else {"ghostd": {"cpus": 0.2, "us_per_request": 2e5 / load},
                                       "agent_shinjuku": {"cpus": 1.0, "us_per_request": 1e6 / load}}
    return {"system": system, "load": load, "started": "2026-01-01T00:00:00+00:00",
            "point": parse.point(system, data, batch_share).to_json(), "rocksdb": data, "antagonist": None,
            "cost": cost, "sanity": [], "commands": [["rocksdb", f"--throughput={load}"]]}

"""What the programs print as JSON, checked: a result that is not whole is no result."""
import json
from typing import Any

from .errors import ExperimentError
from .point import Point

STAGES = ("ingress_queue_time", "repeatable_handle_time", "worker_queue_time", "worker_handle_time", "total")
PERCENTILES = ("min_ns", "p50_ns", "p99_ns", "p99_5_ns", "p99_9_ns", "max_ns")


def json_object(program: str, text: str) -> dict[str, Any]:
    """The one object on its stdout."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ExperimentError(f"{program} printed no JSON: {error}: {text[:200]!r}") from error
    if not isinstance(data, dict) or data.get("program") != program:
        raise ExperimentError(f"{program} printed something else: {text[:200]!r}")
    return data


def rocksdb(text: str) -> dict[str, Any]:
    data = json_object("rocksdb", text)
    try:
        for stages in data["requests"].values():
            for stage in STAGES:
                for name in ("total", "throughput", "mean_ns", *PERCENTILES):
                    float(stages[stage][name])
        for name in ("offered_per_s", "achieved_per_s", "arrived", "unfinished", "duration_s"):
            float(data[name])
        data["requests"]["all"]["total"]  # pylint: disable=pointless-statement
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExperimentError(f"rocksdb's results are not whole: no {error}") from error
    return data


def antagonist(text: str) -> dict[str, Any]:
    data = json_object("antagonist", text)
    try:
        for name in ("run_duration_ns", "share"):
            float(data["total"][name])
        float(data["duration_s"])
    except (KeyError, TypeError, ValueError) as error:
        raise ExperimentError(f"antagonist's results are not whole: no {error}") from error
    return data


def batch_share(data: dict[str, Any], workers: int) -> float:
    """Of `workers` CPUs, what all threads of the batch application had together."""
    total = sum(worker["run_duration_ns"] for worker in data["workers"])
    return total / (data["duration_s"] * 1e9 * workers)


def point(system: str, data: dict[str, Any], share: float | None) -> Point:
    """The point of a sweep from rocksdb's results."""
    requests = data["requests"]

    def us(kind: str, name: str) -> float | None:
        total = requests.get(kind, {}).get("total", {"total": 0})
        return total[name] / 1000 if total["total"] else None  # of no request there is no latency

    return Point(system=system, offered_per_s=data["offered_per_s"], achieved_per_s=data["achieved_per_s"],
                 p50_us=us("all", "p50_ns"), p99_us=us("all", "p99_ns"), p99_5_us=us("all", "p99_5_ns"),
                 p99_9_us=us("all", "p99_9_ns"), max_us=us("all", "max_ns"), get_p99_us=us("get", "p99_ns"),
                 range_p99_us=us("range", "p99_ns"), batch_share=share)

"""One point of a sweep, the form in which results are kept, drawn and compared.

Real runs and simulate() make the same points, so plots and reports do not ask where one came from. As JSON, with the
unit in each name; what a run does not know is null:

    {"system": "ghost-shinjuku", "offered_per_s": 20000, "achieved_per_s": 19987.2,
     "p50_us": 11.5, "p99_us": 44.0, "p99_5_us": 51.2, "p99_9_us": 300.1, "max_us": 9120.0,
     "get_p99_us": 40.1, "range_p99_us": 10010.0, "batch_share": 0.61}

`system` is a key of plots.COLOURS: "cfs", "ghost-shinjuku", "ghost-fifo", … Latencies are from a request's scheduled
arrival to its end (stage `total`), over all requests unless the name says get or range.
`batch_share` is what the batch application got of the CPUs that it may use, from 0 to 1; null where there is none.
"""
import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Point:
    system: str
    offered_per_s: float
    achieved_per_s: float | None = None
    p50_us: float | None = None
    p99_us: float | None = None
    p99_5_us: float | None = None
    p99_9_us: float | None = None
    max_us: float | None = None
    get_p99_us: float | None = None
    range_p99_us: float | None = None
    batch_share: float | None = None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Point":
        """Keys that this version does not know are left out: newer programs may say more."""
        known = {field.name for field in dataclasses.fields(Point)}
        return Point(**{key: value for key, value in data.items() if key in known})


def by_system(points: list[Point]) -> dict[str, list[Point]]:
    """The points of each system, by load; systems in the order in which they first come."""
    curves: dict[str, list[Point]] = {}
    for point in points:
        curves.setdefault(point.system, []).append(point)
    return {system: sorted(curve, key=lambda point: point.offered_per_s) for system, curve in curves.items()}

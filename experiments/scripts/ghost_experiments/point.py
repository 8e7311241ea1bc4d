"""One point of a sweep, the form in which results are kept, drawn and compared.

Real runs and simulate() make the same points, so plots and reports do not ask where one came from. As JSON, with the
unit in each name; what a run does not know is null:

    {"system": "ghost-shinjuku", "offered_per_s": 20000, "achieved_per_s": 19987.2,
     "p50_us": 11.5, "p99_us": 44.0, "p99_5_us": 51.2, "p99_9_us": 300.1, "max_us": 9120.0,
     "get_p99_us": 40.1, "range_p99_us": 10010.0, "batch_share": 0.61}

`system` is a key of plots.SYSTEMS or of the paper's CSV ("cfs", "ghost-shinjuku", "ghost-fifo", …). Latencies are from
a request's scheduled arrival to its end (stage `total`), over all requests unless the name says get or range.
`batch_share` is what the batch application got of the CPUs that it may use, from 0 to 1; null where there is none.
"""
import dataclasses
from typing import Any, Dict, List, Optional


@dataclasses.dataclass(frozen=True)
class Point:
    system: str
    offered_per_s: float
    achieved_per_s: Optional[float] = None
    p50_us: Optional[float] = None
    p99_us: Optional[float] = None
    p99_5_us: Optional[float] = None
    p99_9_us: Optional[float] = None
    max_us: Optional[float] = None
    get_p99_us: Optional[float] = None
    range_p99_us: Optional[float] = None
    batch_share: Optional[float] = None

    def to_json(self) -> Dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(data: Dict[str, Any]) -> "Point":
        """Keys that this version does not know are left out: newer programs may say more."""
        known = {field.name for field in dataclasses.fields(Point)}
        return Point(**{key: value for key, value in data.items() if key in known})


def by_system(points: List[Point]) -> Dict[str, List[Point]]:
    """The points of each system, by load; systems in the order in which they first come."""
    curves: Dict[str, List[Point]] = {}
    for point in points:
        curves.setdefault(point.system, []).append(point)
    return {system: sorted(curve, key=lambda point: point.offered_per_s) for system, curve in curves.items()}

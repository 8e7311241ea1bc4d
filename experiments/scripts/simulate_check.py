"""How near simulated curves of Figure 6 are to the paper's: where p99 passes 1 ms, and the batch shares."""
import dataclasses
from collections.abc import Sequence

from ghost_experiments import paper
from ghost_experiments.point import Point, by_system
from simulate import Simulated

KNEE_US = 1000.0
KNEE_TOLERANCE = 0.10
SHARE_TOLERANCE = 0.10


def knee(curve: Sequence[Point]) -> float | None:
    """The first load (requests/s, ascending) at which p99 is above 1 ms; None: it never is."""
    return next((point.offered_per_s for point in curve if point.p99_us is not None and point.p99_us > KNEE_US), None)


@dataclasses.dataclass(frozen=True)
class KneeCheck:
    panel: str
    system: str
    paper_per_s: float
    simulated_per_s: float | None

    @property
    def difference(self) -> float | None:
        """Of the paper's; None: the simulated curve never passes 1 ms at the paper's loads."""
        return None if self.simulated_per_s is None else self.simulated_per_s / self.paper_per_s - 1

    @property
    def ok(self) -> bool:
        return self.difference is not None and abs(self.difference) <= KNEE_TOLERANCE


@dataclasses.dataclass(frozen=True)
class ShareCheck:
    system: str
    offered_per_s: float
    paper: float
    simulated: float

    @property
    def ok(self) -> bool:
        return abs(self.simulated - self.paper) <= SHARE_TOLERANCE


def _curves(points: Sequence[Simulated], panel: str) -> dict[str, list[Point]]:
    return by_system([simulated.point for simulated in points if simulated.panel == panel])


def knees(points: Sequence[Simulated], panels: str = "ab") -> list[KneeCheck]:
    """Of each curve of these panels that was simulated."""
    checks = []
    for panel in panels:
        simulated = _curves(points, panel)
        for system, curve in paper.figure6(panel).items():
            wanted = knee(curve)
            if wanted is not None and system in simulated:
                checks.append(KneeCheck(panel, system, wanted, knee(simulated[system])))
    return checks


def shares(points: Sequence[Simulated]) -> list[ShareCheck]:
    """At every load of the paper's panel c that was simulated."""
    simulated = _curves(points, "c")
    checks = []
    for system, curve in paper.figure6("c").items():
        found = {round(point.offered_per_s): point.batch_share for point in simulated.get(system, [])}
        checks += [ShareCheck(system, point.offered_per_s, point.batch_share or 0, share) for point in curve
                   if (share := found.get(round(point.offered_per_s))) is not None]
    return checks


def lines(knee_checks: Sequence[KneeCheck], share_checks: Sequence[ShareCheck]) -> list[str]:
    """A table of what was compared; each miss has its line."""
    text = []
    for check in knee_checks:
        mine = "never" if check.simulated_per_s is None else f"{check.simulated_per_s / 1000:.0f} k"
        off = "" if check.difference is None else f" ({check.difference:+.1%})"
        text.append(f"{'ok  ' if check.ok else 'MISS'} 6{check.panel} {check.system}: p99 passes 1 ms at {mine}{off}, "
                    f"the paper's at {check.paper_per_s / 1000:.0f} k requests/s")
    for system in dict.fromkeys(check.system for check in share_checks):
        own = [check for check in share_checks if check.system == system]
        worst = max(own, key=lambda check: abs(check.simulated - check.paper))
        missed = [check for check in own if not check.ok]
        text.append(f"{'MISS' if missed else 'ok  '} 6c {system}: {len(own) - len(missed)} of {len(own)} shares within "
                    f"{SHARE_TOLERANCE:.1f}; the farthest at {worst.offered_per_s / 1000:.0f} k: "
                    f"{worst.simulated:.3f}, the paper's {worst.paper:.3f}")
        text += [f"     at {check.offered_per_s / 1000:.0f} k: {check.simulated:.3f}, the paper's {check.paper:.3f}"
                 for check in missed]
    return text

"""The plots of a run, each as PNG and as SVG.

Load is drawn against what the workers could serve at most if nothing but requests took time, so that a machine of one
worker CPU and the paper's of twenty stand in one picture; the upper axis says it in requests per second.
"""
import dataclasses
import os
from collections.abc import Callable
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  pylint: disable=wrong-import-position

from . import paper  # noqa: E402  pylint: disable=wrong-import-position
from .experiments import LINUX, POLICIES, Experiment  # noqa: E402  pylint: disable=wrong-import-position
from .point import Point, by_system  # noqa: E402  pylint: disable=wrong-import-position

# One colour a system, in every plot, ours solid, the paper's dashed. Told apart by people with any colour vision.
COLOURS = {LINUX: "#d55e00", "ghost-shinjuku": "#0072b2", "shinjuku": "#666666", "ghost-fifo": "#009e73",
           "ghost-sol": "#cc79a7", "ghost-edf": "#56b4e9", "ghost-cfs": "#e69f00"}
PAPER_LABELS = {LINUX: "paper: CFS-Shinjuku", "ghost-shinjuku": "paper: ghOSt-Shinjuku", "shinjuku": "paper: Shinjuku"}


@dataclasses.dataclass(frozen=True)
class Plot:
    name: str    # of its files
    title: str
    png: str
    svg: str


def label_of(system: str, linux: str = "CFS") -> str:
    if system == LINUX:
        return f"Linux ({linux})"
    return next((policy.label for policy in POLICIES.values() if policy.system == system), system)


def axes_of(title: str, xlabel: str, ylabel: str, log: bool) -> tuple[Any, Any]:
    """An empty figure and its axes; `log`: the values', not the loads'."""
    figure, axes = pyplot.subplots(figsize=(7, 4.2))
    axes.set_title(title, fontsize=11, pad=12)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if log:
        axes.set_yscale("log")
    axes.grid(True, which="major", alpha=0.3)
    return figure, axes


def save(figure: Any, directory: str, name: str, title: str) -> Plot:
    paths = {kind: os.path.join(directory, f"{name}.{kind}") for kind in ("png", "svg")}
    # The salt keeps the ids of several plots in one page apart; no date: same results, same bytes.
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(paths["svg"], metadata={"Date": None}, bbox_inches="tight")
        figure.savefig(paths["png"], dpi=144, bbox_inches="tight")
    pyplot.close(figure)
    return Plot(name, title, paths["png"], paths["svg"])


def _curve(axes: Any, points: list[Point], value: Callable[[Point], float | None], most_per_s: float, **style: Any
           ) -> bool:
    pairs = [(point.offered_per_s / most_per_s, value(point)) for point in points]
    pairs = [(load, number) for load, number in pairs if number is not None]
    if pairs:
        axes.plot(*zip(*pairs), **style)
    return bool(pairs)


def _load_axes(title: str, most_per_s: float, log: bool, ylabel: str) -> tuple[Any, Any]:
    figure, axes = axes_of(title, "offered load, as a share of what the workers could serve at most", ylabel, log)
    axes.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0))
    upper = axes.secondary_xaxis("top", functions=(lambda x: x * most_per_s / 1000, lambda x: x * 1000 / most_per_s))
    upper.set_xlabel("thousand requests/s on this machine", fontsize=8)
    upper.tick_params(labelsize=8)
    return figure, axes


def by_load(directory: str, name: str, title: str, points: list[Point], value: Callable[[Point], float | None],
            ylabel: str, most_per_s: float, linux: str, log: bool = True,
            behind: dict[str, list[Point]] | None = None) -> Plot | None:
    """One value of every point against its load; `behind`: the paper's curves. None if no point has it."""
    figure, axes = _load_axes(title, most_per_s, log, ylabel)
    paper_most = paper.FIG6_WORKERS * 1e6 / paper.FIG6_SERVICE_US
    for system, curve in (behind or {}).items():
        _curve(axes, curve, value, paper_most, color=COLOURS.get(system, "#999999"), linestyle="--", linewidth=1,
               alpha=0.6, label=PAPER_LABELS.get(system, "paper: " + system), zorder=1)
    drawn = False
    for system, curve in by_system(points).items():
        drawn |= _curve(axes, curve, value, most_per_s, color=COLOURS.get(system, "#000000"), marker="o", markersize=4,
                        linewidth=1.8, label=label_of(system, linux), zorder=3)
    if not drawn:
        pyplot.close(figure)
        return None
    axes.set_xlim(left=0)
    axes.legend(fontsize=8)
    return save(figure, directory, name, title)


def cost(directory: str, records: list[dict[str, Any]], most_per_s: float, linux: str) -> Plot | None:
    """What the kernel in user mode and the agents took, in us of CPU time per request."""
    title = "CPU time beside the requests themselves: ghostd and agents"
    figure, axes = _load_axes(title, most_per_s, True, "us of CPU time per request")
    lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for record in records:
        for role, spent in record["cost"].items():
            if spent["us_per_request"]:
                lines.setdefault((record["system"], role), []).append(
                    (record["point"]["offered_per_s"] / most_per_s, spent["us_per_request"]))
    for (system, role), pairs in lines.items():
        axes.plot(*zip(*sorted(pairs)), color=COLOURS.get(system, "#000000"), marker="s" if role == "ghostd" else "o",
                  linestyle="-" if role == "ghostd" else ":", markersize=4,
                  label=f"{role}, under {label_of(system, linux)}")
    if not lines:
        pyplot.close(figure)
        return None
    axes.legend(fontsize=8)
    return save(figure, directory, "cost", title)


def all_plots(directory: str, experiment: Experiment, records: list[dict[str, Any]], most_per_s: float, linux: str
              ) -> list[Plot]:
    """Those for which there are results."""
    points = [Point.from_json(record["point"]) for record in records]
    panel = next((panel for panel in experiment.figure_panels if panel in "ab"), None)
    latency = paper.figure6(panel) if panel else None
    shares = paper.figure6("c") if "c" in experiment.figure_panels else None
    plots = [by_load(directory, "p99", "99 % of all requests are served within", points, lambda point: point.p99_us,
                     "p99 latency, us", most_per_s, linux, behind=latency)]
    if experiment.range_query_ratio:
        plots.append(by_load(directory, "get_p99", "99 % of the short requests are served within", points,
                             lambda point: point.get_p99_us, "p99 latency of Get, us", most_per_s, linux))
    plots.append(by_load(directory, "p50", "Half of all requests are served within", points,
                         lambda point: point.p50_us, "median latency, us", most_per_s, linux))
    plots.append(by_load(directory, "achieved", "Served of what was offered", points,
                         lambda point: (point.achieved_per_s or 0) / point.offered_per_s, "achieved / offered",
                         most_per_s, linux, log=False))
    if experiment.antagonist:
        plots.append(by_load(directory, "batch_share", "What the batch application gets of the workers' CPUs", points,
                             lambda point: point.batch_share, "share", most_per_s, linux, log=False, behind=shares))
    plots.append(cost(directory, records, most_per_s, linux))
    return [plot for plot in plots if plot is not None]

"""Draws simulated figures beside the paper's, and writes them as one page that needs no other file."""
import html
import os
from collections.abc import Sequence
from typing import Any

from ghost_experiments import paper, plots, report
from ghost_experiments.plots import COLOURS, Plot, pyplot
from ghost_experiments.point import Point, by_system
import simulate_check
from simulate import MACHINES5, Rate, Simulated

_LABELS = {"ghost-shinjuku": "ghOSt-Shinjuku", "cfs": "CFS-Shinjuku", "shinjuku": "Shinjuku"}
_PANELS = {"a": "Figure 6a: RocksDB alone", "b": "Figure 6b: beside a batch application",
           "c": "Figure 6c: what the batch application gets"}
_WORDS = ("Solid: the simulation. Dashed: the paper's points. The costs are those of the paper's Table 3, and for "
          "Shinjuku those of its own paper; none is fitted. docs/simulation.md says what each system is made of.")


def _value(panel: str, point: Point) -> float | None:
    return point.batch_share if panel == "c" else point.p99_us


def _draw6(directory: str, panel: str, points: Sequence[Simulated]) -> Plot:
    figure, axes = pyplot.subplots(figsize=(7, 4.2))
    axes.set_title(_PANELS[panel], fontsize=11)
    curves = by_system([simulated.point for simulated in points if simulated.panel == panel])
    for kind, found, style in (("paper: ", paper.figure6(panel), {"linestyle": "--", "linewidth": 1, "alpha": 0.6}),
                               ("", curves, {"linewidth": 1.8})):
        for system, curve in found.items():
            axes.plot([point.offered_per_s / 1000 for point in curve], [_value(panel, point) for point in curve],
                      color=COLOURS[system], label=kind + _LABELS[system], **style)
    axes.set_xlabel("thousand requests/s")
    axes.set_ylabel("share of the 20 CPUs" if panel == "c" else "p99 latency, us")
    if panel != "c":
        axes.set_yscale("log")
        axes.axhline(simulate_check.KNEE_US, color="#bbbbbb", linewidth=0.8)
    axes.set_xlim(left=0)
    axes.grid(True, alpha=0.3)
    axes.legend(fontsize=8)
    return plots._save(figure, directory, f"figure6{panel}", _PANELS[panel])  # pylint: disable=protected-access


def _draw5(directory: str, machine: str, rates: Sequence[Rate]) -> Plot:
    title = f"Figure 5: transactions of a global agent, {machine}"
    figure, axes = pyplot.subplots(figsize=(7, 4.2))
    axes.set_title(title, fontsize=11)
    known = paper.figure5()[machine]
    axes.plot([cpus for cpus, _ in known], [rate / 1e6 for _, rate in known], color="#666666", linestyle="--",
              linewidth=1, label="paper")
    for cost, colour in zip(dict.fromkeys(rate.message_cost for rate in rates), ("#0072b2", "#d55e00")):
        own = [rate for rate in rates if rate.message_cost == cost]
        axes.plot([rate.scheduled_cpus for rate in own], [rate.per_s / 1e6 for rate in own], color=colour,
                  linewidth=1.8, label=f"{cost} for each further message")
    axes.set_xlabel(f"scheduled CPUs (two sockets of {MACHINES5[machine].cores} cores)")
    axes.set_ylabel("million transactions/s")
    axes.set_ylim(bottom=0)
    axes.grid(True, alpha=0.3)
    axes.legend(fontsize=8)
    return plots._save(figure, directory, f"figure5_{machine}", title)  # pylint: disable=protected-access


def _page(drawn: Sequence[Plot], checks: Sequence[str]) -> str:
    body = [f"<h1>The paper's figures on the simulation</h1><p>{html.escape(_WORDS)}</p>",
            "<pre>" + html.escape("\n".join(checks)) + "</pre>"]
    body += [f"<h2>{html.escape(plot.title)}</h2><figure>{report.inline_svg(plot.svg)}</figure>" for plot in drawn]
    return ("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Simulated figures</title><style>"
            + report._STYLE + "</style></head><body>\n"  # pylint: disable=protected-access
            + "\n".join(body) + "\n</body></html>\n")


def write(directory: str, panels: str, points: Sequence[Simulated], rates: Sequence[Rate]) -> bool:
    """Plots, report.html and what was compared, which is printed too. True: every curve is near enough."""
    knees = simulate_check.knees(points, "".join(panel for panel in panels if panel in "ab"))
    shares = simulate_check.shares(points)
    checks = simulate_check.lines(knees, shares)
    drawn: list[Any] = [_draw5(directory, machine, [rate for rate in rates if rate.machine == machine])
                        for machine in dict.fromkeys(rate.machine for rate in rates)]
    drawn += [_draw6(directory, panel, points) for panel in panels]
    for name, text in (("checks.txt", "\n".join(checks) + "\n"), ("report.html", _page(drawn, checks))):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(text)
    print("\n".join(checks) + f"\nreport: {os.path.join(directory, 'report.html')}", flush=True)
    return all(check.ok for check in [*knees, *shares])

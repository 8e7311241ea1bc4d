"""Draws simulated figures beside the paper's, and writes them as one page that needs no other file."""
import os
from collections.abc import Sequence

from ghost_experiments import paper, plots, report
from ghost_experiments.plots import COLOURS, Plot
from ghost_experiments.point import Point, by_system
import simulate_check
from simulate import MACHINES5, Rate, Simulated

_LABELS = {"ghost-shinjuku": "ghOSt-Shinjuku", "cfs": "CFS-Shinjuku", "shinjuku": "Shinjuku"}
_PANELS = {"a": "Figure 6a: RocksDB alone", "b": "Figure 6b: beside a batch application",
           "c": "Figure 6c: what the batch application gets"}
_WORDS = ("Solid: the simulation. Dashed: the paper's points. The costs are those of the paper's Table 3, and for "
          "Shinjuku those of its own paper; none is fitted. docs/simulation.md says what each system is made of.")


def _draw6(directory: str, panel: str, points: Sequence[Simulated]) -> Plot:
    share = panel == "c"
    figure, axes = plots.axes_of(_PANELS[panel], "thousand requests/s",
                                 "share of the 20 CPUs" if share else "p99 latency, us", log=not share)
    curves = by_system([simulated.point for simulated in points if simulated.panel == panel])
    for kind, found, style in (("paper: ", paper.figure6(panel), {"linestyle": "--", "linewidth": 1, "alpha": 0.6}),
                               ("", curves, {"linewidth": 1.8})):
        for system, curve in found.items():
            values = [point.batch_share if share else point.p99_us for point in curve]
            axes.plot([point.offered_per_s / 1000 for point in curve], values, color=COLOURS[system],
                      label=kind + _LABELS[system], **style)
    if not share:
        axes.axhline(simulate_check.KNEE_US, color="#bbbbbb", linewidth=0.8)
    axes.set_xlim(left=0)
    axes.legend(fontsize=8)
    return plots.save(figure, directory, f"figure6{panel}", _PANELS[panel])


def _draw5(directory: str, machine: str, rates: Sequence[Rate]) -> Plot:
    title = f"Figure 5: transactions of a global agent, {machine}"
    figure, axes = plots.axes_of(title, f"scheduled CPUs (two sockets of {MACHINES5[machine].cores} cores)",
                                 "million transactions/s", log=False)
    known = paper.figure5()[machine]
    axes.plot([cpus for cpus, _ in known], [rate / 1e6 for _, rate in known], color="#666666", linestyle="--",
              linewidth=1, label="paper")
    for cost, colour in zip(dict.fromkeys(rate.message_cost for rate in rates), ("#0072b2", "#d55e00")):
        own = [rate for rate in rates if rate.message_cost == cost]
        axes.plot([rate.scheduled_cpus for rate in own], [rate.per_s / 1e6 for rate in own], color=colour,
                  linewidth=1.8, label=f"{cost} for each further message")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    return plots.save(figure, directory, f"figure5_{machine}", title)


def write(directory: str, panels: str, points: Sequence[Simulated], rates: Sequence[Rate]) -> bool:
    """Plots, report.html and what was compared, which is printed too. True: every curve is near enough."""
    knees = simulate_check.knees(points, "".join(panel for panel in panels if panel in "ab"))
    shares = simulate_check.shares(points)
    checks = "\n".join(simulate_check.lines(knees, shares))
    drawn = [_draw5(directory, machine, [rate for rate in rates if rate.machine == machine])
             for machine in dict.fromkeys(rate.machine for rate in rates)]
    drawn += [_draw6(directory, panel, points) for panel in panels]
    with open(os.path.join(directory, "checks.txt"), "w", encoding="utf-8") as file:
        file.write(checks + "\n")
    page = report.write_page(directory, "The paper's figures on the simulation", [
        report.paragraph(_WORDS), report.preformatted(checks), *(report.inline(plot) for plot in drawn)])
    print(f"{checks}\nreport: {page}", flush=True)
    return all(check.ok for check in [*knees, *shares])

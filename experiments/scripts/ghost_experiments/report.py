"""One self-contained page of a run: report.html, with its plots inside. It needs no network and no other file."""
import html
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from . import sanity
from .experiments import LINUX, Experiment
from .plots import Plot, label_of
from .point import Point

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222;
       background: #fff }
h1 { font-size: 1.6em } h2 { font-size: 1.2em; margin-top: 2em }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #ddd; padding: .25em .7em; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
pre { background: #f5f5f5; padding: .7em; overflow-x: auto; font-size: 12px }
figure { margin: 1.5em 0 } svg { max-width: 100%; height: auto }
.warning { border-left: 4px solid #d55e00; padding-left: .8em }
"""

GHOSTD_WORDS = (
    "There is no ghost kernel on this machine: ghostd served it, an ordinary process that holds threads by ptrace. "
    "Every hand-over from one request to the next goes through ghostd and costs some tens of microseconds and several "
    "context switches, where a ghost kernel takes a few microseconds. All of that is in the latencies and loads of the "
    "ghOSt curves here; none of it is in those of Linux. So the distance between Linux and a policy is that of policy "
    "and ghostd together; policies compare with each other, as each bears the same. The table below says what ghostd "
    "and the agents took of the CPUs.")
KERNEL_WORDS = (
    "A ghost kernel served the policies: their curves bear what their messages and commits cost, and the CPU of their "
    "agent.")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    lines = ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return f"<table><tr>{cells}</tr>\n" + "\n".join(lines) + "</table>"


def paragraph(text: str, kind: str = "") -> str:
    return f'<p{f" class={kind!r}" if kind else ""}>{html.escape(text)}</p>'


def preformatted(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"


def number(value: float | None, digits: int = 1) -> str:
    """With thin thousands, "-" if there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def inline(plot: Plot) -> str:
    """Its own XML, without what stands before it in its file."""
    with open(plot.svg, encoding="utf-8") as file:
        text = file.read()
    svg = re.sub(r"^.*?(?=<svg)", "", text, count=1, flags=re.DOTALL)
    return f'<figure id="{plot.name}">{svg}</figure>'


def write_page(directory: str, title: str, parts: Iterable[str]) -> str:
    """Writes report.html, with the parts of its body; returns its path."""
    path = os.path.join(directory, "report.html")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><title>{html.escape(title)}</title>"
                   f"<style>{_STYLE}</style></head><body>\n<h1>{html.escape(title)}</h1>\n" + "\n".join(parts)
                   + "\n</body></html>\n")
    return path


def highest_load(records: list[dict[str, Any]], system: str) -> float | None:
    """The highest load of a sweep up to which the system kept up with all."""
    kept = None
    for record in (record for record in records if record["system"] == system):
        if not sanity.keeps_up(record["rocksdb"]):
            break
        kept = record["point"]["offered_per_s"]
    return kept


def _systems(records: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(record["system"] for record in records))


def _cost_of(record: dict[str, Any], ghostd: bool) -> float | None:
    """us of CPU time per request: ghostd's, or everybody else's who is no client."""
    spent = [cost["us_per_request"] for role, cost in record["cost"].items()
             if (role == "ghostd") == ghostd and cost["us_per_request"] is not None]
    return sum(spent) if spent else None


def _summary(records: list[dict[str, Any]], linux: str) -> str:
    rows = []
    for system in _systems(records):
        own = [record for record in records if record["system"] == system]
        first, highest = own[0], highest_load(records, system)
        busiest = next((record for record in own if record["point"]["offered_per_s"] == highest), first)
        rows.append([label_of(system, linux), number(highest, 0), number(_cost_of(busiest, ghostd=True)),
                     number(_cost_of(busiest, ghostd=False)), number(first["point"]["offered_per_s"], 0),
                     f"{number(first['point']['p50_us'])} / {number(first['point']['p99_us'])}"])
    return _table(["", "highest load kept up with, /s", "there: ghostd, us of CPU per request", "agent, the same",
                   "lowest load, /s", "there: median / p99, us"], rows)


def _left_over(data: dict[str, Any]) -> str:
    """Requests that were not served by the end, and how long they had waited: they are in no latency."""
    waited_ns = data.get("unfinished_waited_ns", {}).get("p50")
    return number(data["unfinished"], 0) + (
        f" (half of them for {waited_ns / 1000:,.0f} us)" if data["unfinished"] and waited_ns is not None else "")


def _points(records: list[dict[str, Any]], system: str, batch: bool) -> str:
    rows = []
    for record in (record for record in records if record["system"] == system):
        point = Point.from_json(record["point"])
        lateness = record["rocksdb"].get("generator", {}).get("lateness_ns", {})
        rows.append([number(point.offered_per_s, 0), number(point.achieved_per_s, 0), number(point.p50_us),
                     number(point.p99_us), number(point.p99_9_us), number(point.max_us), number(point.get_p99_us),
                     number(lateness["p99"] / 1000 if "p99" in lateness else None), _left_over(record["rocksdb"])]
                    + ([number(point.batch_share, 3)] if batch else []))
    return _table(["offered, /s", "achieved, /s", "p50, us", "p99", "p99.9", "max", "Get p99", "generator late, p99",
                   "left over"]
                  + (["batch share"] if batch else []), rows)


def _costs(records: list[dict[str, Any]], linux: str) -> str:
    rows = []
    for record in records:
        for role, spent in sorted(record["cost"].items()):
            rows.append([label_of(record["system"], linux), number(record["point"]["offered_per_s"], 0), role,
                         number(spent["cpus"], 3), number(spent["us_per_request"])])
    return _table(["", "offered, /s", "program", "CPUs busy with it", "us of CPU time per request"], rows)


def _warnings(records: list[dict[str, Any]]) -> list[str]:
    found = [f"{record['system']} at {record['load']}/s: {text}" for record in records for text in record["sanity"]]
    for record in records:
        lateness = record["rocksdb"].get("generator", {}).get("lateness_ns", {}).get("p99", 0)
        if lateness / 1000 > (record["point"]["p50_us"] or 0):
            found.append(f"{record['system']} at {record['load']}/s: the load generator itself was late, by more than "
                         "the median latency for 1 % of the requests; that time is in their latencies")
    return found


def _machine(config: dict[str, Any]) -> str:
    machine, plan = config["machine"], config["plan_text"]
    rows = [(name.replace("_", " "), str(value)) for name, value in machine.items() if name != "settings"]
    rows += [(f"CPU of the {name.replace('_', ' ')}", str(value)) for name, value in plan.items() if name != "notes"]
    rows += [("version", config["version"]), ("batch application kept back by", config.get("isolation") or "-"),
             ("changed by --tune", ", ".join(config.get("tuned", [])) or "nothing"),
             ("settings left as they are", "; ".join(machine["settings"]) or "none that matter")]
    return _table(["", ""], rows)


def write(directory: str, experiment: Experiment, config: dict[str, Any], records: list[dict[str, Any]],
          plots: list[Plot]) -> str:
    """Writes the page of a run; returns its path."""
    linux = config["machine"]["linux_scheduler"]
    parts = [paragraph(experiment.summary + ".")]
    parts += [paragraph(f"Scaled down for this machine: {note}.", "warning") for note in config["plan_text"]["notes"]]
    if any(system != LINUX for system in _systems(records)):
        parts.append(paragraph(GHOSTD_WORDS if config["ghostd"] else KERNEL_WORDS, "warning"))
    if not config.get("complete"):
        parts.append(paragraph("This run has not come to its end: some points are missing.", "warning"))
    parts += ["<h2>Summary</h2>", _summary(records, linux)]
    parts += [inline(plot) for plot in plots]
    if experiment.figure_panels:
        parts.append(paragraph("Dashed: the paper's Figure 6, at the same share of what its 20 worker CPUs could "
                                "serve at most. Its requests take 4 us and 10 ms, on a ghost kernel."))
    for system in _systems(records):
        parts += [f"<h2>{html.escape(label_of(system, linux))}</h2>", _points(records, system, experiment.antagonist)]
    parts.append(paragraph("Left over: requests that were not served when the time was over. They are in no latency, "
                            "and they are the slowest: where there are many, latencies are those of the lucky ones."))
    parts += ["<h2>What ghostd and the agents took</h2>",
              paragraph("CPU time from /proc while requests came. A global agent polls: it has a CPU of its own, "
                         "busy at any load."), _costs(records, linux)]
    warnings = _warnings(records)
    parts += ["<h2>Doubts</h2>"] + ([paragraph(text, "warning") for text in warnings] or [paragraph(
        "None: percentiles are in order, stages add up, the load generator was in time.")])
    parts += ["<h2>Machine</h2>", _machine(config), "<h2>Commands</h2>", preformatted(_commands(records))]
    return write_page(directory, experiment.name, parts)


def _commands(records: list[dict[str, Any]]) -> str:
    """Those of the first point of each system: the others differ in --throughput."""
    lines = []
    for system in _systems(records):
        first = next(record for record in records if record["system"] == system)
        lines += [f"# {system}, {first['load']}/s"] + [shlex.join(words) for words in first["commands"]]
    return "\n".join(lines)

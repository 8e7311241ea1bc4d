#!/usr/bin/python3
"""The paper's Figures 5 and 6 on the simulation, at the paper's size: 20 worker CPUs, 200 workers, one global agent.

    experiments/scripts/shinjuku --simulate           # both figures, a table of what is met and what is missed
    experiments/scripts/simulate.py --jobs 2 --panels ab --output /tmp/figures

Nothing here is fitted: costs are Table 3 of the paper (kernel/usermode/sim/cost_model.h) and, for the original
Shinjuku, those of its own paper. What each system is on the simulation, and what comes from where, is in
docs/simulation.md, "The paper's figures". No ghost kernel and no rights are needed, one core is enough.

Other scripts use figure6() and figure5(); run() is what --simulate calls.
"""
import concurrent.futures
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ghost_experiments import arguments, paper, programs  # noqa: E402  pylint: disable=wrong-import-position
from ghost_experiments.errors import FAILED, OK, USAGE, ExperimentError, report  # noqa: E402
from ghost_experiments.point import Point  # noqa: E402
from ghost_experiments.progress import Progress  # noqa: E402
from ghost_experiments.store import write_json, writing_to  # noqa: E402

NAME = "simulate"
# The paper's machine of Figure 6: one socket of 12 cores with two hardware threads each. CPU n + 12 is the sibling of
# CPU n. Core 0 is the global agent's (or the dispatcher's) alone, core 11 the load generator's; workers have the rest.
TOPOLOGY = "sockets 1 cores 12 smt 2"
WORKER_CPUS = "1-10,13-22"
AGENT_AND_WORKER_CPUS = "0-10,13-22"
NUM_WORKER_CPUS = 20
# Section 4.2: a GET of about 6 us in each request; then 4 us (99.5 %) or 10 ms (0.5 %) of processing.
SERVICE = "bimodal 10us 10006us 0.5%"
SLICE = "preemption_time_slice=30us"
LIGHT_LOAD_PER_S = 150_000  # below, nothing queues: short runs say the same as long ones


@dataclasses.dataclass(frozen=True)
class Times:
    """How long to simulate, in ms of virtual time. Long where the noise of a result could decide whether it is near
    enough: where p99 rises, and where a share is far from the paper's."""
    warmup: int
    light: int    # below LIGHT_LOAD_PER_S
    usual: int
    long: int     # at k requests/s of long_alone, and of long_batch beside the batch application
    long_alone: tuple[range, ...] = ()
    long_batch: tuple[range, ...] = ()

    def lines(self, load: int, batch: bool) -> str:
        is_long = any(load // 1000 in loads for loads in (self.long_batch if batch else self.long_alone))
        duration = self.light if load < LIGHT_LOAD_PER_S else self.long if is_long else self.usual
        return f"warmup {self.warmup}ms\nduration {duration}ms\n"


@dataclasses.dataclass(frozen=True)
class System:
    """A system of Figure 6 as ghostsim runs it."""
    name: str
    workers: tuple[str, str]          # statements of the workload: alone, and beside the batch application
    batch: str | None                 # the batch application's; None: it cannot run beside this system
    flags: tuple[str, ...]
    times: Times                      # of a whole sweep
    quick: Times                      # of a reduced one

    def workload(self, load: int, batch: bool, quick: bool) -> str:
        times = (self.quick if quick else self.times).lines(load, batch)
        with_batch = batch and self.batch is not None
        return (times + self.workers[with_batch] + "\n" + (f"{self.batch}\n" if with_batch else "")
                + f"requests get to worker rate {load} run {SERVICE} assigned\n")


_GHOST = "class worker count 200 qos 1 { loop { serve } }"
SYSTEMS = {system.name: system for system in (
    System("ghost-shinjuku", (_GHOST, _GHOST), "class batch count 20 qos 0 { run 1000s }",
           ("--policy", "shinjuku", "--set", SLICE, "--ghost_cpus", AGENT_AND_WORKER_CPUS),
           Times(200, 600, 600, 4000, (range(277, 295),), (range(200, 255), range(273, 290))),
           Times(100, 200, 400, 4000, (), (range(200, 255),))),
    # No agents but one at a CPU that nobody uses: all threads are ordinary ones.
    System("cfs", (f"class worker count 20 cpus {WORKER_CPUS} pinned ordinary {{ loop {{ serve spinning }} }}",
                   f"class worker count 20 nice -20 cpus {WORKER_CPUS} pinned ordinary {{ loop {{ serve }} }}"),
           f"class batch count 20 nice 19 cpus {WORKER_CPUS} pinned ordinary {{ run 1000s }}",
           ("--policy", "fifo_per_cpu", "--ghost_cpus", "11"),
           Times(1000, 2000, 2000, 20000, (range(190, 224),), (range(184, 216),)),
           Times(500, 1000, 4000, 10000, (range(180, 200),), (range(176, 200),))),
    System("shinjuku", ("cost shinjuku\nclass worker count 10000 qos 1 { loop { serve } }",) * 2, None,
           ("--policy", "shinjuku", "--set", SLICE, "--ghost_cpus", AGENT_AND_WORKER_CPUS),
           Times(200, 400, 600, 3000, (range(315, 331),), (range(315, 331),)), Times(100, 200, 1000, 1000)),
)}


@dataclasses.dataclass(frozen=True)
class Simulated:
    """A point of a panel of Figure 6; `raw` is all that ghostsim said, None where nothing had to be run."""
    panel: str
    point: Point
    raw: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        return {"panel": self.panel, **self.point.to_json(), "raw": self.raw}


class Simulator:
    """Runs ghostsim, several at a time. close() ends those that still run."""

    def __init__(self, ghostsim: str | None = None, jobs: int | None = None):
        self._ghostsim = ghostsim or programs.find(["ghostsim"])["ghostsim"]
        self._executor = concurrent.futures.ThreadPoolExecutor(jobs or os.cpu_count() or 1)
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._closed = False
        self._known: dict[tuple[str, ...], dict[str, Any]] = {}

    def __enter__(self) -> "Simulator":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def run(self, workload: str, flags: Sequence[str]) -> dict[str, Any]:
        """What ghostsim says of a workload; the same again is not run again."""
        key = (workload, *flags)
        if key not in self._known:
            self._known[key] = self._run(workload, flags)
        return self._known[key]

    def _run(self, workload: str, flags: Sequence[str]) -> dict[str, Any]:
        with self._lock:
            if self._closed:
                raise ExperimentError("the simulation was ended")
            try:
                process = subprocess.Popen([self._ghostsim, "--workload", "-", "--json", *flags], text=True,
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            except OSError as error:
                raise ExperimentError(f"{self._ghostsim} does not start: {error.strerror}") from error
            self._running.add(process)
        try:
            out, error = process.communicate(workload)
        finally:
            with self._lock:
                self._running.discard(process)
        if process.returncode != 0:
            lines = error.strip().splitlines() or [f"exit status {process.returncode}"]
            raise ExperimentError(f"ghostsim: {lines[0]}", *(line.removeprefix("hint: ") for line in lines[1:2]))
        return json.loads(out)

    def each(self, task: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        """task(item) of each, in order."""
        return self._executor.map(task, items)


def _point(system: str, load: int, raw: dict[str, Any], share: float | None) -> Point:
    requests = raw["requests"][0]
    response = requests["response"]
    us = {name: response[key] / 1000 for name, key in
          (("p50_us", "p50_ns"), ("p99_us", "p99_ns"), ("p99_9_us", "p999_ns"), ("max_us", "max_ns"))}
    return Point(system, load, achieved_per_s=requests["served"] * 1e9 / raw["duration_ns"], batch_share=share, **us)


def simulate_point(simulator: Simulator, system: System, load: int, batch: bool, quick: bool = False
                   ) -> list[Simulated]:
    """One load of panel a, or (`batch`) of panels b and c, which show the same run."""
    # Each load has a seed of its own: what is rare does not happen at all loads, or at none.
    seed = ("--seed", str(load // 1000))
    raw = simulator.run(system.workload(load, batch, quick), (*system.flags, "--topology", TOPOLOGY, *seed))
    if not batch:
        return [Simulated("a", _point(system.name, load, raw, None), raw)]
    share = 0.0  # Shinjuku's workers spin on CPUs that it owns
    if system.batch is not None:
        share = next(c["cpu_ns"] for c in raw["classes"] if c["name"] == "batch") / raw["duration_ns"] / NUM_WORKER_CPUS
    point = _point(system.name, load, raw, share)
    return [Simulated("b", point, raw), Simulated("c", point, None)]


def paper_loads(panels: str) -> dict[tuple[str, bool], list[int]]:
    """By system and whether the batch application runs: every load at which the paper plots one of these panels."""
    loads: dict[tuple[str, bool], set[int]] = {}
    for panel in panels:
        for system, curve in paper.figure6(panel).items():
            loads.setdefault((system, panel != "a"), set()).update(round(point.offered_per_s) for point in curve)
    return {key: sorted(values) for key, values in loads.items()}


def figure6(simulator: Simulator, panels: str, loads: dict[tuple[str, bool], list[int]], quick: bool = False,
            progress: Progress | None = None) -> list[Simulated]:
    """The points of these panels, at loads as paper_loads() has them."""
    jobs = [(SYSTEMS[name], batch, load) for (name, batch), values in loads.items() for load in values]

    results: list[Simulated] = []
    for (system, _, load), found in zip(jobs, simulator.each(
            lambda job: simulate_point(simulator, job[0], job[2], job[1], quick), jobs)):
        results += [simulated for simulated in found if simulated.panel in panels]
        if progress is not None:
            share = found[0].point.batch_share
            progress.begin(f"{system.name}{'' if share is None else ' + batch'}, {load // 1000} k requests/s")
            progress.end(f"p99 {found[0].point.p99_us:.0f} us" + ("" if share is None else f", batch {share:.3f}"))
    return results


@dataclasses.dataclass(frozen=True)
class Machine5:
    """A machine of Figure 5, two sockets. Threads yield in a loop, five for each scheduled CPU."""
    name: str
    cores: int   # of a socket
    turn: str    # what a thread does until it yields: by this, the point of one CPU is the paper's

    def cpus(self, scheduled: int) -> str:
        """The agent's and the scheduled ones, in the paper's order: the cores of the agent's socket, their second
        hardware threads (the agent's own sibling first), the other socket."""
        order = [first + core for first in (0, 2 * self.cores, self.cores, 3 * self.cores)
                 for core in range(self.cores)]
        return ",".join(str(cpu) for cpu in order[:scheduled + 1])


MACHINES5 = {machine.name: machine for machine in (
    Machine5("skylake_28c", 28, "2400ns"), Machine5("haswell_18c", 18, "1600ns"))}
# What a message costs an agent that finds several at once: what the public implementation takes for a message about a
# task that is not in its cache, and the paper's Table 3, which has the latency of a lone one.
MESSAGE_COSTS = {"56 ns": "message_next=56", "265 ns": "message_next=265"}


@dataclasses.dataclass(frozen=True)
class Rate:
    """A point of Figure 5."""
    machine: str
    message_cost: str  # of MESSAGE_COSTS
    scheduled_cpus: int
    per_s: float       # transactions

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def figure5(simulator: Simulator, every: int = 1) -> list[Rate]:
    """Of both machines and both message costs, at every n-th point of the paper's curves and at their ends."""
    jobs = []
    for name, curve in paper.figure5().items():
        counts = sorted({cpus for cpus, _ in curve[::every]} | {curve[0][0], curve[-1][0]}
                        | {MACHINES5[name].cores - 1, MACHINES5[name].cores, 2 * MACHINES5[name].cores - 2})
        jobs += [(MACHINES5[name], cost, count) for cost in MESSAGE_COSTS for count in counts]

    def rate(job: tuple[Machine5, str, int]) -> Rate:
        machine, cost, count = job
        raw = simulator.run(
            f"warmup 1ms\nduration 10ms\nclass t count {5 * count} {{ loop {{ run exp {machine.turn}; yield }} }}\n",
            ("--policy", "fifo_centralized", "--topology", f"sockets 2 cores {machine.cores} smt 2",
             "--ghost_cpus", machine.cpus(count), "--cost", MESSAGE_COSTS[cost]))
        return Rate(machine.name, cost, count, raw["commits"]["complete"] * 1e9 / raw["duration_ns"])

    return list(simulator.each(rate, jobs))


# ---- As a program ----


def sweep(directory: str, panels: str, with_figure5: bool, ghostsim: str | None = None, jobs: int | None = None,
          quick: bool = False) -> int:
    """Runs, draws and checks. OK, or FAILED if a curve misses the paper's by more than is allowed."""
    try:
        import simulate_report  # pylint: disable=import-outside-toplevel  # matplotlib takes a second
    except ImportError as error:
        raise ExperimentError(f"no report: {error}", "util/setup.sh installs python3-matplotlib") from error
    with writing_to(directory):
        os.makedirs(directory, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass  # results come late: whether they can be written is asked now
    rates: list[Rate] = []
    loads = paper_loads(panels)
    total = sum(len(values) for values in loads.values())
    with Simulator(ghostsim, jobs) as simulator:
        if with_figure5:
            print("Figure 5", flush=True)
            rates = figure5(simulator, every=3 if quick else 1)
            write_json(os.path.join(directory, "figure5.json"), [rate.to_json() for rate in rates])
        print(f"Figure 6: {total} runs", flush=True)
        points = figure6(simulator, panels, loads, quick, Progress(total))
    write_json(os.path.join(directory, "figure6.json"), [simulated.to_json() for simulated in points])
    return OK if simulate_report.write(directory, panels, points, rates) else FAILED


def run(experiment: str, directory: str, bin_directory: str | None = None, build: bool = True) -> int:
    """What a script's --simulate does; an exit code. bin_directory, build: of ghostsim, see programs.find()."""
    panels = {"shinjuku": "abc", "shinjuku_shenango": "bc"}.get(experiment)
    if panels is None:
        raise ExperimentError(f"--simulate: the paper has no figure of {experiment}",
                              "shinjuku --simulate, or shinjuku_shenango --simulate", USAGE)
    ghostsim = programs.find(["ghostsim"], bin_directory, build)["ghostsim"]
    return sweep(directory, panels, with_figure5=experiment == "shinjuku", ghostsim=ghostsim)


def main(words: Sequence[str]) -> int:
    parser = arguments.Parser(prog=NAME, description="Figures 5 and 6 of the ghOSt paper on the simulation.")
    parser.add_argument("--panels", default="abc", help="of Figure 6; c is the batch application's share (abc)")
    parser.add_argument("--figure5", action="store_true", help="also Figure 5")
    parser.add_argument("--quick", action="store_true", help="short runs: percentiles are noisier")
    parser.add_argument("--jobs", type=int, help="simulations at a time (one for each CPU)")
    parser.add_argument("--ghostsim", help="the program (bazel-bin/ghostsim, built if it is not there)")
    parser.add_argument("--output", help="folder of the results (a new one)")
    try:
        options = parser.parse_args(words)
        if not options.panels or set(options.panels) - set("abc"):
            raise ExperimentError(f"--panels {options.panels}: unknown", "some of a, b and c: --panels ab", USAGE)
        if options.jobs is not None and options.jobs < 1:
            raise ExperimentError(f"--jobs {options.jobs}: out of range", "1 or more", USAGE)
        directory = options.output or tempfile.mkdtemp(prefix="ghost_figures_")
        return sweep(directory, options.panels, options.figure5, options.ghostsim, options.jobs, options.quick)
    except ExperimentError as error:
        return report(NAME, error)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

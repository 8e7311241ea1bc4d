"""What the scripts do, from their command line to their report."""
import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from . import (arguments, commands, ghost_kernel, guardian, journal, machine, sanity, settings, sweep,
               topology)
from .commands import Setup
from .errors import FAILED, OK, ExperimentError, report
from .experiments import EXPERIMENTS, LINUX, POLICIES, Experiment
from .plan import Plan, make_plan
from .point import Point
from .processes import Interrupted, Processes, raise_on_signals
from .programs import find
from .progress import Progress
from .runner import Runner, program_names
from .store import Store

DATA = "/tmp/ghost_data"
AUTO_POINTS = 6
PROBE_S = 1.5
# A hand-over by ghostd takes longer than the paper's slices: with those, preemption would be all that is measured.
GHOSTD_SLICE = "500us"


def systems_of(options: argparse.Namespace) -> list[str]:
    """In the order in which they were asked for."""
    systems: list[str] = []
    for word in dict.fromkeys(options.systems):
        systems += [LINUX] if word == "cfs" else [POLICIES[name].system for name in options.policy]
    return systems


def config_of(experiment: Experiment, options: argparse.Namespace, words: Sequence[str]) -> dict[str, Any]:
    """What run.json says: all that a resumed run has to know."""
    here = topology.from_sysfs()
    plan = make_plan(experiment.name, here, experiment.worker_cpus, options.scale)
    cpus = sorted({*plan.background, *plan.generator, plan.central, *plan.workers})
    ghost = any(system != LINUX for system in systems_of(options))
    ghostfs = ghost_kernel.find(options.ghostfs) if ghost else None
    return {
        "experiment": experiment.name,
        "command_line": [experiment.name, *words],
        "version": machine.git_version(),
        "machine": machine.describe(here, cpus),
        "systems": systems_of(options),
        "scale": options.scale,
        "points_wanted": options.points or (AUTO_POINTS if options.scale == "auto" else None),
        "given_loads": options.loads,
        "plan": dataclasses.asdict(plan),
        "plan_text": plan.to_json(),
        "times": {"duration_s": options.duration, "discard_s": options.discard,
                  "get_us": options.get_duration * 1e6, "range_us": options.range_duration * 1e6},
        "slice": options.slice or (GHOSTD_SLICE if ghost and ghostfs is None and options.scale == "auto" else None),
        "ghostfs": ghostfs,
        "ghostd": ghost and ghostfs is None,
        "tune": options.tune,
        "capacity": {},
        "loads": {},
        "complete": False,
    }


def setup_of(config: dict[str, Any]) -> Setup:
    plan = Plan(**{key: tuple(value) if isinstance(value, list) else value for key, value in config["plan"].items()})
    return Setup(EXPERIMENTS[config["experiment"]], plan, slice=config["slice"], **config["times"])


def ideal_capacity(setup: Setup) -> float:
    service_us = sweep.mean_service_us(setup.get_us, setup.range_us, setup.experiment.range_query_ratio)
    return sweep.ideal_capacity_per_s(len(setup.plan.workers), service_us)


class Run:
    """A run over its store: everything that it starts and changes is undone by close()."""

    def __init__(self, store: Store, options: argparse.Namespace):
        self.store = store
        self.setup = setup_of(store.config)
        names = program_names(store.config["systems"], self.setup, store.config["ghostd"])
        programs = find(names, options.bin, not options.no_build)
        self.journal = journal.Journal()
        self.guardian: subprocess.Popen[bytes] | None = None
        self.processes = Processes(self.journal.run_id)
        try:
            self.guardian = guardian.start(self.journal.path)
            work = os.path.join(tempfile.gettempdir(), f"ghost-experiment-{self.journal.run_id}")
            self.journal.add("directory", path=work)
            os.mkdir(work, 0o755)
            self.runner = Runner(self.setup, programs, self.processes, self.journal, work, store.config["ghostfs"])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        try:
            self.processes.stop_all()
        finally:
            for complaint in self.journal.undo():
                print(f"cannot restore {complaint}", file=sys.stderr)
            if self.guardian is not None:
                self.guardian.wait()

    def watch_guardian(self) -> None:
        """Somebody may have killed it."""
        if self.guardian is not None and self.guardian.poll() is not None:
            self.guardian = guardian.start(self.journal.path)

    def tune(self) -> None:
        if self.store.config["tune"]:
            plan = self.setup.plan
            changes = settings.tune({*plan.generator, plan.central, *plan.workers}, self.journal)
            self.store.config["tuned"] = [f"{change.path}: {change.old} -> {change.new}" for change in changes]

    def decide_loads(self, progress: Progress) -> None:
        """Of every system; by a probe where the machine is to say what it carries."""
        config = self.store.config
        for system in config["systems"]:
            if system not in config["loads"]:
                config["loads"][system] = self._loads_of(system, progress)
                self.store.save_config()

    def _loads_of(self, system: str, progress: Progress) -> list[int]:
        config = self.store.config
        count = config["points_wanted"]
        if config["given_loads"]:
            return list(config["given_loads"])
        if config["scale"] == "auto":
            return sweep.of_capacity(self._probe(system, progress), count)
        loads = list(commands.side_of(self.setup, system).loads)
        if config["scale"]:
            loads = sweep.scaled(loads, float(config["scale"]))
        return sweep.thinned(loads, count) if count else loads

    def _probe(self, system: str, progress: Progress) -> float:
        """What it serves at most, per second: found by short runs."""
        def keeps_up(load: int) -> bool:
            self.watch_guardian()
            progress.begin(f"{system}: does this machine carry {load:,}/s?")
            return sanity.probe_keeps_up(self.runner.run(system, load, PROBE_S, progress.tick)["rocksdb"])
        capacity = sweep.search_capacity(keeps_up, ideal_capacity(self.setup))
        self.store.config["capacity"][system] = capacity
        progress.say(f"{system}: this machine carries {capacity:,}/s")
        return capacity

    def all_points(self) -> None:
        self.tune()
        self.decide_loads(Progress(1))
        todo = [(system, load) for system, loads in self.store.config["loads"].items() for load in loads]
        left = [(system, load) for system, load in todo if not self.store.has(system, load)]
        progress = Progress(len(todo), len(todo) - len(left))
        if len(left) < len(todo):
            progress.say(f"{len(todo) - len(left)} of {len(todo)} points are there already")
        for system, load in left:
            self.watch_guardian()
            progress.begin(f"{system} at {load:,}/s")
            record = self.runner.run(system, load, tick=progress.tick)
            self.store.save(record)
            progress.end(outcome(record))
        if self.setup.experiment.antagonist and LINUX in self.store.config["systems"]:
            self.store.config["isolation"] = self.runner.isolation().describe()
        self.store.config["complete"] = True
        self.store.save_config()


def outcome(record: dict[str, Any]) -> str:
    point = Point.from_json(record["point"])
    text = f"achieved {point.achieved_per_s or 0:,.0f}/s"
    if point.p50_us is not None and point.p99_us is not None:
        text += f", p50 {point.p50_us:,.0f} us, p99 {point.p99_us:,.0f} us"
    if point.batch_share is not None:
        text += f", batch share {point.batch_share:.2f}"
    return text + "".join(f"\n  doubtful: {complaint}" for complaint in record["sanity"])


def write_report(store: Store, with_page: bool) -> None:
    """Of what there is; nothing if there is nothing."""
    records = store.records()
    if not records:
        return
    print(f"results: {store.write_results()}", flush=True)
    if not with_page:
        return
    try:
        from . import plots, report as page  # pylint: disable=import-outside-toplevel  # matplotlib takes a second
    except ImportError as error:
        raise ExperimentError(f"no report: {error}", "util/setup.sh installs python3-matplotlib; then --resume "
                              + store.directory) from error
    setup = setup_of(store.config)
    linux = store.config["machine"]["linux_scheduler"]
    drawn = plots.all_plots(store.directory, setup.experiment, records, ideal_capacity(setup), linux)
    path = page.write(store.directory, setup.experiment, store.config, records, drawn)
    print(f"report: {path}", flush=True)


def describe_plan(setup: Setup) -> None:
    for name, value in setup.plan.to_json().items():
        if name != "notes":
            print(f"CPU of {name.replace('_', ' ')}: {value}")
    for note in setup.plan.notes:
        print(f"scaled down: {note}")
    sys.stdout.flush()


def dry_run(setup: Setup, systems: list[str]) -> int:
    describe_plan(setup)
    for system in systems:
        policy, load = commands.policy_of(system), round(ideal_capacity(setup) / 2)
        print(f"# {system}, {load}/s")
        if policy is not None:
            print(policy.agent, *commands.agent(setup, policy, "GHOSTFS"))
        if setup.experiment.antagonist:
            print("antagonist", *commands.antagonist(setup, system))
        print("rocksdb", *commands.rocksdb(setup, system, load, "DIR"))
    return OK


def _new_directory(name: str) -> str:
    return os.path.join(DATA, f"{name}-{time.strftime('%Y%m%d-%H%M%S')}")


def measure(store: Store, options: argparse.Namespace) -> int:
    describe_plan(setup_of(store.config))
    for pid in journal.living_runs():
        print(f"note: another run is at work (pid {pid}): they measure each other, too", file=sys.stderr)
    run = Run(store, options)
    try:
        run.all_points()
    except (ExperimentError, Interrupted):
        print(f"stopped with {len(store.records())} points done; go on with --resume {store.directory}",
              file=sys.stderr)
        raise
    finally:
        run.close()
        write_report(store, not options.no_report)
    return OK


def simulate(experiment: Experiment, options: argparse.Namespace) -> int:
    """By simulate.py, beside this package."""
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    try:
        import simulate as simulation  # pylint: disable=import-outside-toplevel,import-self
    except ImportError as error:
        raise ExperimentError(f"--simulate: {error}", "experiments/scripts/simulate.py is missing") from error
    directory = options.output or _new_directory(experiment.name + "-simulated")
    return simulation.run(experiment.name, directory, options.bin, not options.no_build)


def _main(experiment: Experiment, words: Sequence[str]) -> int:
    options = arguments.parse(experiment, words)
    for run_id in journal.undo_dead_runs(wait=options.restore):
        print(f"undone: what the killed run {run_id} had left")
    if options.restore:
        return OK
    if options.simulate:
        return simulate(experiment, options)
    if options.resume:
        return measure(Store.open(options.resume), options)
    config = config_of(experiment, options, words)
    if options.dry_run:
        return dry_run(setup_of(config), config["systems"])
    return measure(Store.create(options.output or _new_directory(experiment.name), config), options)


def main(name: str, words: Sequence[str] | None = None) -> int:
    """Of the script `name`; returns its exit code."""
    raise_on_signals()
    try:
        return _main(EXPERIMENTS[name], sys.argv[1:] if words is None else words)
    except ExperimentError as error:
        return report(name, error)
    except Interrupted as signal_:
        print(f"{name}: ended by {signal_}", file=sys.stderr)
        return 128 + signal_.number if signal_.number else FAILED

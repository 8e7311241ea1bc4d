"""Runs single points: the programs of one load under one scheduler, from their start to their end."""
import contextlib
import dataclasses
import datetime
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import cgroups, commands, parse, procfs, sanity
from .experiments import ANTAGONIST_NICE, ROCKSDB_NICE, Policy
from .ghost_kernel import GhostKernel
from .journal import Journal
from .processes import Child, PartFailed, Processes

READY_S = 180.0  # RocksDB fills its database first
END_S = 60.0     # what a run may take beyond its duration


def program_names(systems: list[str], setup: commands.Setup, needs_ghostd: bool) -> list[str]:
    """The programs that a run takes."""
    names = ["rocksdb"] + (["antagonist"] if setup.experiment.antagonist else [])
    policies = [policy for policy in map(commands.policy_of, systems) if policy is not None]
    if policies and needs_ghostd:
        names.append("ghostd")
    return names + [policy.agent for policy in policies]


@dataclasses.dataclass
class Isolation:
    """How the batch application is kept behind RocksDB where no agent does it."""
    rocksdb_nice: int | None = None
    batch_nice: int | None = None
    groups: cgroups.Groups | None = None

    def describe(self) -> str:
        if self.groups is not None:
            return "cgroup v2: cpu.weight 10000 and 1" + (", cpuset" if self.groups.cpuset else "")
        return f"nice {self.rocksdb_nice or 0} and {self.batch_nice or 0}"


def may_renice() -> bool:
    """Whether this process may start others with RocksDB's nice value. Tried: a container's capabilities may not do."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, ROCKSDB_NICE)
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class Runner:
    """The points of one run. `work` is a folder that goes away with it."""

    def __init__(self, setup: commands.Setup, programs: dict[str, str], processes: Processes, journal: Journal,
                 work: str, ghostfs: str | None):
        self.setup = setup
        self.programs = programs
        self.processes = processes
        self.journal = journal
        self.work = work
        self._ghostfs = ghostfs
        self._kernel: GhostKernel | None = None
        self._may_renice = may_renice()
        self._isolation: Isolation | None = None

    def kernel(self) -> GhostKernel:
        """The same one for points that follow each other."""
        if self._kernel is None:
            if self._ghostfs is not None:
                self._kernel = GhostKernel(self._ghostfs)
            else:
                cpus = list(self.setup.plan.background) if self.setup.plan.has_background_cpu else []
                self._kernel = GhostKernel.start(self.programs["ghostd"], self.work, self.processes, self.journal, cpus)
        return self._kernel

    def _stop_kernel(self) -> None:
        """A ghostd is in the way of everybody's system calls: not while Linux alone is measured."""
        if self._kernel is not None and self._kernel.daemon is not None:
            self.processes.stop(self._kernel.daemon)
        self._kernel = None

    def isolation(self) -> Isolation:
        if self._isolation is None:
            self._isolation = Isolation(ROCKSDB_NICE if self._may_renice else None, ANTAGONIST_NICE)
            place = cgroups.find_place()
            if place is not None:
                plan = self.setup.plan
                with contextlib.suppress(OSError):  # then nice values do
                    self._isolation.groups = cgroups.make(
                        place, self.processes.run_id, self.journal,
                        {*plan.background, *plan.generator, plan.central, *plan.workers}, plan.batch_cpus)
        return self._isolation

    def run(self, system: str, load: int, probe_s: float | None = None,
            tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """The record of a point, as the store keeps it."""
        policy = commands.policy_of(system)
        with self._agent(policy) as (alive, enclave):
            return self._run_clients(system, load, probe_s, alive, enclave, tick)

    @contextlib.contextmanager
    def _agent(self, policy: Policy | None) -> Iterator[tuple[list[Child], str | None]]:
        """Those who have to live while the clients do, and the enclave; an agent of each point's own."""
        if policy is None:
            self._stop_kernel()
            yield [], None
            return
        kernel = self.kernel()
        command = [self.programs[policy.agent], *commands.agent(self.setup, policy, kernel.ghostfs)]
        agent, enclave = kernel.start_agent(policy.agent, command, self.processes, self.journal)
        yield [*kernel.alive, agent], enclave
        self.processes.stop(agent)
        if agent.process.returncode == 0:
            kernel.agent_has_ended(enclave, self.journal)

    def _run_clients(self, system: str, load: int, probe_s: float | None, alive: list[Child], enclave: str | None,
                     tick: Callable[[], None]) -> dict[str, Any]:
        ghostfs = self._kernel.ghostfs if self._kernel is not None else None
        started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        rocksdb = self._start_rocksdb(system, load, probe_s, ghostfs, enclave)
        self.processes.expect(rocksdb, "rocksdb: ready", READY_S, alive)
        before, since = procfs.cpu_times_by_role(self.processes.run_id), time.monotonic()
        # After RocksDB has filled its database: what the batch application gets then is nobody's result.
        batch = self._start_antagonist(system, ghostfs, enclave, alive)
        watched = alive + ([batch] if batch is not None else [])
        self.processes.expect_end(rocksdb, (probe_s or self.setup.duration_s) + END_S, watched, tick)
        after, elapsed_s = procfs.cpu_times_by_role(self.processes.run_id), time.monotonic() - since
        self.processes.stop(rocksdb)
        data = parse.rocksdb(rocksdb.stdout)
        batch_data = None
        if batch is not None:
            self.processes.stop(batch)
            if batch.process.returncode != 0:  # it had ended before, or had to be killed
                raise PartFailed.ended(batch)
            batch_data = parse.antagonist(batch.stdout)
        share = None if batch_data is None else parse.batch_share(batch_data, len(self.setup.plan.workers))
        return {
            "system": system, "load": load, "started": started,
            "point": parse.point(system, data, share).to_json(),
            "rocksdb": data, "antagonist": batch_data,
            "cost": costs(before, after, elapsed_s, data["achieved_per_s"]),
            "sanity": sanity.complaints(data),
            "commands": [[os.path.basename(program), *words]
                         for program, *words in (child.process.args for child in [*watched, rocksdb])],
        }

    def _start_rocksdb(self, system: str, load: int, probe_s: float | None, ghostfs: str | None,
                       enclave: str | None) -> Child:
        words = commands.rocksdb(self.setup, system, load, os.path.join(self.work, "db"), ghostfs, enclave, probe_s)
        nice, cgroup = self._place_of(system, latency=True)
        return self.processes.start("rocksdb", [self.programs["rocksdb"], *words], nice=nice, cgroup=cgroup,
                                    environment={"TMPDIR": self.work})

    def _start_antagonist(self, system: str, ghostfs: str | None, enclave: str | None,
                          alive: list[Child]) -> Child | None:
        if not self.setup.experiment.antagonist:
            return None
        words = commands.antagonist(self.setup, system, ghostfs, enclave)
        nice, cgroup = self._place_of(system, latency=False)
        child = self.processes.start("antagonist", [self.programs["antagonist"], *words], nice=nice, cgroup=cgroup)
        self.processes.expect(child, "antagonist: ready", READY_S, alive)
        return child

    def _place_of(self, system: str, latency: bool) -> tuple[int | None, str | None]:
        """nice value and cgroup of a client."""
        policy = commands.policy_of(system)
        if not self.setup.experiment.antagonist or (policy is not None and policy.central):
            return None, None  # an agent that knows classes needs neither
        if policy is not None:  # agent_cfs goes by nice values
            return (ROCKSDB_NICE if self._may_renice else None) if latency else ANTAGONIST_NICE, None
        isolation = self.isolation()
        if isolation.groups is not None:
            return None, isolation.groups.latency if latency else isolation.groups.batch
        return isolation.rocksdb_nice if latency else isolation.batch_nice, None


def costs(before: dict[str, int], after: dict[str, int], elapsed_s: float, achieved_per_s: float) -> dict[str, Any]:
    """What each program but the clients took of the CPUs while requests came: in CPUs, and per request."""
    result: dict[str, Any] = {}
    for role, end_ns in after.items():
        if role in ("rocksdb", "antagonist"):
            continue
        cpus = (end_ns - before.get(role, 0)) / 1e9 / elapsed_s
        result[role] = {"cpus": cpus, "us_per_request": cpus * 1e6 / achieved_per_s if achieved_per_s else None}
    return result

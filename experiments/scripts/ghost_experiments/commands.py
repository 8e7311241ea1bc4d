"""From an experiment, a plan and a load to command lines. Pure: starts nothing."""
import dataclasses

from .experiments import (ANTAGONIST_QOS, ANTAGONIST_SLICE, LINUX, POLICIES, ROCKSDB_QOS, Experiment, Policy, Side)
from .options import AgentOptions, AntagonistOptions, GhostdOptions, RocksdbOptions, flags, seconds
from .plan import Plan
from .topology import format_cpu_list

LEAST_GHOST_WORKERS = 2


@dataclasses.dataclass(frozen=True)
class Setup:
    """All that a run's command lines depend on, besides system and load."""
    experiment: Experiment
    plan: Plan
    duration_s: float = 15.0
    discard_s: float = 2.0
    get_us: float = 10.0
    range_us: float = 5000.0
    slice: str | None = None  # of agents, instead of the experiment's and for policies without classes

    @property
    def size(self) -> float:
        """Of the paper's set-up, by worker CPUs."""
        return len(self.plan.workers) / self.experiment.worker_cpus


def policy_of(system: str) -> Policy | None:
    """None: Linux."""
    if system == LINUX:
        return None
    return next(policy for policy in POLICIES.values() if policy.system == system)


def side_of(setup: Setup, system: str) -> Side:
    return setup.experiment.cfs if system == LINUX else setup.experiment.ghost


def worker_threads(setup: Setup, system: str) -> int:
    if system == LINUX:
        return len(setup.plan.workers)  # one per CPU, pinned to it
    return max(LEAST_GHOST_WORKERS, round(setup.experiment.ghost.workers * setup.size))


def slice_of(setup: Setup, policy: Policy) -> str | None:
    """The agent's --preemption_time_slice."""
    if not policy.slices:
        return None
    if policy.hints:
        wanted = setup.experiment.ghost.slice
    else:
        # Without classes only a slice gets RocksDB past the batch application. Else: first come, first served.
        wanted = ANTAGONIST_SLICE if setup.experiment.antagonist else "inf"
    return setup.slice if setup.slice and wanted != "inf" else wanted


def rocksdb(setup: Setup, system: str, load: int, db_path: str | None, ghostfs: str | None = None,
            enclave: str | None = None, probe_s: float | None = None) -> list[str]:
    """The words after the program's name.

    db_path: None is a temporary one of its own. probe_s: for so long only, and all of it counts: under more load than
    can be served, requests that arrive late are not served within the run.
    """
    plan, policy = setup.plan, policy_of(system)
    common = {
        "throughput": load,
        "num_workers": worker_threads(setup, system),
        "load_generator_cpus": format_cpu_list(plan.generator if policy else plan.linux_generator),
        "range_query_ratio": setup.experiment.range_query_ratio,
        "get_duration": f"{setup.get_us:g}us",
        "range_duration": f"{setup.range_us:g}us",
        "experiment_duration": seconds(probe_s or setup.duration_s),
        "discard_duration": seconds(0 if probe_s else min(setup.discard_s, setup.duration_s / 2)),
        "rocksdb_db_path": db_path,
    }
    if policy is None:
        return flags(RocksdbOptions(scheduler="cfs", cfs_dispatcher_cpus=str(plan.central),
                                    worker_cpus=format_cpu_list(plan.workers), cfs_wait_type=cfs_wait_type(setup),
                                    **common))
    return flags(RocksdbOptions(scheduler="ghost", worker_cpus="", ghost_wait_type=policy.wait_type,
                                ghost_qos=ROCKSDB_QOS, ghostfs=ghostfs, enclave=enclave, **common))


def cfs_wait_type(setup: Setup) -> str:
    """Workers that spin for work keep their CPU busy: only where it is theirs alone."""
    plan = setup.plan
    shared = setup.experiment.antagonist or set(plan.workers) & {*plan.linux_generator, *plan.background}
    return "futex" if shared else "spin"


def antagonist(setup: Setup, system: str, ghostfs: str | None = None, enclave: str | None = None) -> list[str]:
    cpus = setup.plan.batch_cpus
    if policy_of(system) is None:
        return flags(AntagonistOptions(scheduler="cfs", num_threads=len(cpus), cpus=format_cpu_list(cpus)))
    return flags(AntagonistOptions(scheduler="ghost", num_threads=len(cpus), cpus="", ghost_qos=ANTAGONIST_QOS,
                                   ghostfs=ghostfs, enclave=enclave))


def agent(setup: Setup, policy: Policy, ghostfs: str) -> list[str]:
    return flags(AgentOptions(ghost_cpus=format_cpu_list(setup.plan.ghost_cpus),
                              globalcpu=setup.plan.central if policy.central else None,
                              preemption_time_slice=slice_of(setup, policy), ghostfs=ghostfs))


def ghostd(mount: str) -> list[str]:
    return flags(GhostdOptions(mount=mount))

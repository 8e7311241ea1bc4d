"""The four experiments, as data: what each runs, at which loads, under which schedulers.

To add one: add it to EXPERIMENTS, and an executable of its name beside this package.
"""
import dataclasses

from .sweep import steps


@dataclasses.dataclass(frozen=True)
class Side:
    """An experiment under one kind of scheduler, on a machine of the paper's size."""
    workers: int            # threads: for CFS one per CPU
    loads: tuple[int, ...]  # requests per second
    slice: str = "inf"      # of the agent; CFS has its own


@dataclasses.dataclass(frozen=True)
class Experiment:
    name: str
    summary: str
    cfs: Side
    ghost: Side
    worker_cpus: int = 6
    range_query_ratio: float = 0.0
    antagonist: bool = False
    figure_panels: tuple[str, ...] = ()  # of the paper's Figure 6 that show the same


@dataclasses.dataclass(frozen=True)
class Policy:
    """A policy over a ghost kernel, and how RocksDB's threads tell it of their work."""
    name: str
    agent: str
    central: bool          # has a global agent on a CPU of its own
    hints: bool            # reads PrioTables
    slices: bool           # takes --preemption_time_slice
    system: str            # in results: point.Point.system
    label: str

    @property
    def wait_type(self) -> str:
        """Threads of a policy that does not read hints must sleep when they have nothing to do."""
        return "prio_table" if self.hints else "futex"


POLICIES = {policy.name: policy for policy in (
    Policy("shinjuku", "agent_shinjuku", True, True, True, "ghost-shinjuku", "ghOSt Shinjuku"),
    Policy("fifo", "fifo_centralized_agent", True, False, True, "ghost-fifo", "ghOSt centralized FIFO"),
    Policy("sol", "agent_sol", True, False, True, "ghost-sol", "ghOSt SOL"),
    Policy("edf", "agent_exp", True, True, False, "ghost-edf", "ghOSt EDF"),
    Policy("cfs", "agent_cfs", False, False, False, "ghost-cfs", "ghOSt CFS"),
)}

LINUX = "cfs"  # point.Point.system of Linux's own scheduler

_SHINJUKU_CFS = tuple(steps(10_000, 40_000, 10_000) + steps(50_000, 80_000, 1_000))
_SHINJUKU_GHOST = tuple(steps(10_000, 130_000, 10_000) + steps(140_000, 150_000, 1_000))

EXPERIMENTS = {experiment.name: experiment for experiment in (
    Experiment(
        name="centralized_queuing",
        summary="Get requests only, one central queue: what a dispatch costs",
        cfs=Side(6, tuple(steps(10_000, 440_000, 10_000) + steps(450_000, 480_000, 1_000))),
        ghost=Side(11, tuple(steps(10_000, 420_000, 10_000) + steps(430_000, 460_000, 1_000)))),
    Experiment(
        name="shinjuku",
        summary="99.5 % short requests, 0.5 % that take 5 ms: preemption keeps the tail short",
        cfs=Side(6, _SHINJUKU_CFS),
        ghost=Side(200, _SHINJUKU_GHOST, "30us"),
        range_query_ratio=0.005, figure_panels=("a",)),
    Experiment(
        name="shenango",
        summary="Get requests beside a batch application: idle CPU time is not lost",
        cfs=Side(6, tuple(steps(10_000, 60_000, 10_000) + steps(70_000, 120_000, 1_000))),
        ghost=Side(11, tuple(steps(10_000, 380_000, 10_000) + steps(390_000, 450_000, 1_000))),
        antagonist=True),
    Experiment(
        name="shinjuku_shenango",
        summary="shinjuku beside a batch application",
        cfs=Side(6, _SHINJUKU_CFS),
        ghost=Side(200, _SHINJUKU_GHOST, "30us"),
        range_query_ratio=0.005, antagonist=True, figure_panels=("b", "c")),
)}

# Where RocksDB's and the batch application's work stand for policies that know classes: higher goes first.
ROCKSDB_QOS = 2
ANTAGONIST_QOS = 1
# The paper's way to say the same to Linux.
ROCKSDB_NICE = -20
ANTAGONIST_NICE = 19
# A batch application never sleeps: a policy without classes lets others run only after a slice.
ANTAGONIST_SLICE = "50us"

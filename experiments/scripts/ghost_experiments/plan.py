"""Which CPU does what. Nothing here is fixed to a machine: a plan is made from its topology, or refused with a reason.

The paper's set-up has a CPU for the load generator, one for the dispatcher (Linux CFS) or the global agent (ghost),
some for the workers, and leaves one to everybody else: RocksDB's background threads, ghostd, the rest of the system.
Where there are fewer CPUs, --scale makes do with less, in this order: fewer workers; the generator takes the
background's CPU; the generator shares the workers'. The notes of a plan say which of these was done.
"""
import dataclasses

from .errors import USAGE, ExperimentError
from .topology import Topology, format_cpu_list

# CPUs besides the workers': background, generator, dispatcher or agent.
OTHERS = 3
LEAST_CPUS = 2


@dataclasses.dataclass(frozen=True)
class Plan:
    background: tuple[int, ...]  # of everybody else; may be the generator's
    generator: tuple[int, ...]
    central: int                 # the dispatcher's (CFS), the global agent's (ghost)
    workers: tuple[int, ...]
    notes: tuple[str, ...] = ()  # how it differs from the paper's set-up

    @property
    def linux_generator(self) -> tuple[int, ...]:
        """Under Linux: rather with the dispatcher, who sleeps then, than with workers. (An agent polls.)"""
        return (self.central,) if set(self.generator) & set(self.workers) else self.generator

    @property
    def ghost_cpus(self) -> list[int]:
        """The enclave's: the global agent's and the workers'."""
        return sorted((self.central, *self.workers))

    @property
    def batch_cpus(self) -> list[int]:
        """The batch application's: the workers', under Linux too, though a dispatcher would leave it some of its own.

        So its share means the same under both.
        """
        return sorted(self.workers)

    @property
    def has_background_cpu(self) -> bool:
        return not set(self.background) & {*self.generator, self.central, *self.workers}

    def to_json(self) -> dict[str, object]:
        return {
            "background": format_cpu_list(self.background),
            "generator": format_cpu_list(self.generator),
            "dispatcher_or_agent": str(self.central),
            "workers": format_cpu_list(self.workers),
            "notes": list(self.notes),
        }


def wanted_workers(full: int, scale: str) -> int:
    """How many worker CPUs `--scale` asks for; "auto": as many as the paper, if they fit."""
    return full if scale in ("", "auto") else max(1, round(full * float(scale)))


def best_first(topology: Topology) -> list[int]:
    """CPUs in the order in which they are taken: one node before the next (that with most CPUs first), first hardware
    threads before their siblings. The first CPU, on which systems like to run everything else, comes first: it is the
    background's."""
    count = {node: sum(cpu.node == node for cpu in topology.cpus) for node in topology.nodes()}
    nodes = sorted(count, key=lambda node: (-count[node], node))
    order = sorted(topology.cpus, key=lambda cpu: (nodes.index(cpu.node), cpu.smt, cpu.core, cpu.number))
    return [cpu.number for cpu in order]


def _refusal(program: str, have: int, need: int, workers: int) -> ExperimentError:
    return ExperimentError(
        f"{program} needs {need} CPUs and may use {have}: one each for the load generator, for the dispatcher or "
        f"agent and for the rest of the system, and {workers} for the workers",
        "--scale auto makes do with what there is, and says how; --scale 0.5 halves workers and loads", USAGE)


def make_plan(program: str, topology: Topology, full_workers: int, scale: str = "") -> Plan:
    """`scale`: "" (the paper's size), "auto" (what fits), or a factor."""
    cpus = best_first(topology)
    have = len(cpus)
    workers = wanted_workers(full_workers, scale)
    if have < LEAST_CPUS:
        raise ExperimentError(
            f"{program} needs {LEAST_CPUS} CPUs and may use {have}: a dispatcher or agent polls on one, workers run on "
            "the other", "taskset or a cpuset may keep this process from others: see nproc --all", USAGE)
    if have < workers + OTHERS and scale != "auto":
        raise _refusal(program, have, workers + OTHERS, workers)
    notes = []
    if have > OTHERS:
        background, generator, central, rest = cpus[0], cpus[1], cpus[2], cpus[3:]
    elif have == OTHERS:
        background, generator, central, rest = cpus[0], cpus[0], cpus[1], cpus[2:]
        notes.append(f"the load generator shares CPU {generator} with the rest of the system")
    else:
        background, generator, central, rest = cpus[1], cpus[1], cpus[0], cpus[1:]
        notes.append(f"the load generator and the rest of the system share CPU {generator} with the workers; under "
                     f"Linux the load generator shares CPU {central} with the dispatcher")
    workers_of = tuple(rest[:workers])
    if len(workers_of) < full_workers:
        notes.insert(0, f"workers run on {len(workers_of)} of {full_workers} CPUs")
    notes += _topology_notes(topology, (generator, central, *workers_of))
    return Plan((background,), (generator,), central, workers_of, tuple(notes))


def _topology_notes(topology: Topology, used: tuple[int, ...]) -> list[str]:
    cpus = [cpu for cpu in topology.cpus if cpu.number in used]
    notes = []
    if len({cpu.core for cpu in cpus}) < len(cpus):
        notes.append("some CPUs of the experiment are hardware threads of one core")
    if len({cpu.node for cpu in cpus}) > 1:
        notes.append("the experiment's CPUs are on more than one NUMA node")
    return notes

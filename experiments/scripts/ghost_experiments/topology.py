"""The CPUs of a machine that this process may use: from sysfs, or made up by a test."""
import dataclasses
import os
from collections.abc import Iterable

from .files import read_text


def parse_cpu_list(text: str) -> list[int]:
    """"0-2,5" is [0, 1, 2, 5]; ValueError if it is no such list."""
    cpus: set[int] = set()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return sorted(cpus)


def format_cpu_list(cpus: Iterable[int]) -> str:
    """[0, 1, 2, 5] is "0-2,5"."""
    parts: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if parts and parts[-1][-1] == cpu - 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


@dataclasses.dataclass(frozen=True)
class Cpu:
    number: int
    core: int      # the lowest CPU number of its core
    node: int      # NUMA node
    smt: int       # 0: the first hardware thread of its core, 1: the second, …


@dataclasses.dataclass(frozen=True)
class Topology:
    cpus: tuple[Cpu, ...]

    def numbers(self) -> list[int]:
        return [cpu.number for cpu in self.cpus]

    def nodes(self) -> list[int]:
        return sorted({cpu.node for cpu in self.cpus})

    def restricted(self, allowed: Iterable[int]) -> "Topology":
        """Those CPUs only: what a cpuset or taskset leaves."""
        keep = set(allowed)
        return Topology(tuple(cpu for cpu in self.cpus if cpu.number in keep))


def made_up(cores: int, smt: int = 1, nodes: int = 1) -> Topology:
    """As Linux counts: CPUs 0 … cores-1 are the cores' first threads, node after node, then come their siblings."""
    per_node = -(-cores // nodes)
    return Topology(tuple(Cpu(thread * cores + core, core, core // per_node, thread)
                          for thread in range(smt) for core in range(cores)))


def _node_of_cpus(system: str) -> dict[int, int]:
    found = {}
    directory = os.path.join(system, "node")
    names = os.listdir(directory) if os.path.isdir(directory) else []
    for name in names:
        if name.startswith("node") and name[4:].isdigit():
            for cpu in parse_cpu_list(read_text(os.path.join(directory, name, "cpulist"))):
                found[cpu] = int(name[4:])
    return found


def from_sysfs(system: str = "/sys/devices/system", allowed: Iterable[int] | None = None) -> Topology:
    """The online CPUs that are allowed (None: those that this process may run on)."""
    allowed = set(os.sched_getaffinity(0) if allowed is None else allowed)
    online = parse_cpu_list(read_text(os.path.join(system, "cpu/online")) or format_cpu_list(allowed))
    node_of = _node_of_cpus(system)
    cpus = []
    for number in online:
        siblings = read_text(os.path.join(system, f"cpu/cpu{number}/topology/thread_siblings_list"))
        threads = [cpu for cpu in parse_cpu_list(siblings or str(number)) if cpu in online] or [number]
        cpus.append(Cpu(number, threads[0], node_of.get(number, 0), threads.index(number) if number in threads else 0))
    return Topology(tuple(cpus)).restricted(allowed)

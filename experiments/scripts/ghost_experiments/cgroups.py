"""A cgroup (version 2) each for RocksDB and for the batch application, where this machine lets us make them.

Nothing is enabled for it: a place is used where the cpu controller is on for children already, as below a systemd
slice. Elsewhere the callers fall back on nice values, as the paper did.
"""
import dataclasses
import os
from collections.abc import Iterable

from .files import read_text, write_text
from .journal import Journal
from .topology import format_cpu_list

LATENCY_WEIGHT = 10000  # the greatest and the least that there are
BATCH_WEIGHT = 1


@dataclasses.dataclass(frozen=True)
class Groups:
    latency: str
    batch: str
    cpuset: bool


def find_place(root: str = "/") -> str | None:
    """The innermost cgroup above this process in which one with the cpu controller can be made."""
    mounts = [line.split() for line in read_text(os.path.join(root, "proc/self/mounts")).splitlines()]
    mount = next((words[1] for words in mounts if words[2] == "cgroup2"), None)
    own = next((line[3:] for line in read_text(os.path.join(root, "proc/self/cgroup")).splitlines()
                if line.startswith("0::")), None)
    if mount is None or own is None:
        return None
    top = os.path.join(root, mount.lstrip("/"))
    place = os.path.normpath(os.path.join(top, own.lstrip("/")))
    while True:
        if "cpu" in read_text(os.path.join(place, "cgroup.subtree_control")).split() and os.access(place, os.W_OK):
            return place
        if place == os.path.normpath(top) or len(place) <= len(top):
            return None
        place = os.path.dirname(place)


def make(place: str, run_id: str, journal: Journal, latency_cpus: Iterable[int], batch_cpus: Iterable[int]) -> Groups:
    """Makes both, empty. OSError if the kernel refuses. The journal removes them."""
    cpuset = "cpuset" in read_text(os.path.join(place, "cgroup.subtree_control")).split()
    paths = []
    for name, weight, cpus in (("latency", LATENCY_WEIGHT, latency_cpus), ("batch", BATCH_WEIGHT, batch_cpus)):
        path = os.path.join(place, f"ghost-experiment-{run_id}-{name}")
        journal.add("cgroup", path=path)
        os.mkdir(path)
        write_text(os.path.join(path, "cpu.weight"), str(weight))
        if cpuset:
            write_text(os.path.join(path, "cpuset.cpus"), format_cpu_list(cpus))
        paths.append(path)
    return Groups(paths[0], paths[1], cpuset)

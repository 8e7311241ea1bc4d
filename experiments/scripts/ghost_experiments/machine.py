"""What a reader of results needs to know of the machine, and of the version that made them."""
import os
import platform
import subprocess
from collections.abc import Sequence
from typing import Any

from . import settings
from .files import read_text
from .programs import ROOT
from .topology import Topology, format_cpu_list


def _first(path: str, prefix: str) -> str:
    lines = (line for line in read_text(path).splitlines() if line.startswith(prefix))
    return next(lines, "").partition(":")[2].strip()


def git_version(directory: str = ROOT) -> str:
    """The commit, with "-dirty" if files differ from it; "unknown" outside a clone."""
    try:
        return subprocess.run(["git", "-C", directory, "describe", "--always", "--dirty", "--abbrev=12"],
                              capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def linux_scheduler(release: str) -> str:
    """Linux's fair class: EEVDF from 6.6 on."""
    numbers = [int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit()]
    return "EEVDF" if numbers >= [6, 6] else "CFS"


def describe(topology: Topology, cpus: Sequence[int]) -> dict[str, Any]:
    return {
        "cpu_model": _first("/proc/cpuinfo", "model name"),
        "cpus": format_cpu_list(topology.numbers()),
        "cores": len({cpu.core for cpu in topology.cpus}),
        "numa_nodes": len(topology.nodes()),
        "virtual": "hypervisor" in _first("/proc/cpuinfo", "flags").split(),
        "memory": _first("/proc/meminfo", "MemTotal"),
        "linux": platform.release(),
        "linux_scheduler": linux_scheduler(platform.release()),
        "load_average": os.getloadavg()[0],
        "settings": settings.describe(cpus),
    }

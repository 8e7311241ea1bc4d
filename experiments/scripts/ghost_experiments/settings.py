"""Settings of the machine that --tune changes for the time of a run: what makes latencies jump.

Nothing is changed without --tune. What is changed is written into the run's journal first, so that it is put back by
the run itself, its guardian, the next run, or --restore.
"""
import dataclasses
import glob
import os
from collections.abc import Iterable

from .errors import PERMISSION, ExperimentError
from .files import read_text, write_text
from .journal import Journal

DEEPEST_IDLE_STATE = 1  # as the paper: C-states from 2 on are disabled
# Where /sys and /proc/sys are; the environment says otherwise in tests.
ROOT = os.environ.get("GHOST_EXPERIMENTS_SYSROOT", "/")


@dataclasses.dataclass(frozen=True)
class Change:
    path: str
    old: str
    new: str


def _wanted(cpus: Iterable[int], root: str) -> Iterable[tuple[str, str]]:
    for cpu in sorted(cpus):
        base = os.path.join(root, f"sys/devices/system/cpu/cpu{cpu}")
        for state in sorted(glob.glob(os.path.join(base, "cpuidle/state*"))):
            if int(os.path.basename(state)[len("state"):]) > DEEPEST_IDLE_STATE:
                yield os.path.join(state, "disable"), "1"
        governor = os.path.join(base, "cpufreq/scaling_governor")
        if "performance" in read_text(os.path.join(base, "cpufreq/scaling_available_governors")).split():
            yield governor, "performance"
    for name in ("nmi_watchdog", "numa_balancing"):
        yield os.path.join(root, "proc/sys/kernel", name), "0"


def changes(cpus: Iterable[int], root: str = ROOT) -> list[Change]:
    """What would have to change; settings that this machine does not have, or has so already, are left out."""
    found = []
    for path, new in _wanted(cpus, root):
        old = read_text(path)
        if old and old != new:
            found.append(Change(path, old, new))
    return found


def tune(cpus: Iterable[int], journal: Journal, root: str = ROOT) -> list[Change]:
    """Makes the changes; returns them."""
    done = []
    for change in changes(cpus, root):
        journal.add("setting", path=change.path, old=change.old, new=change.new)
        try:
            write_text(change.path, change.new)
        except OSError as error:
            raise ExperimentError(f"--tune: cannot write {change.path}: {error.strerror}",
                                  "only root may; or leave --tune out", PERMISSION) from error
        done.append(change)
    return done


def describe(cpus: Iterable[int], root: str = ROOT) -> list[str]:
    """What a reader of results should know of the machine's settings."""
    return [f"{change.path} is {change.old}; --tune makes it {change.new}" for change in changes(cpus, root)]

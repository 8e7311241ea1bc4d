"""The ghost kernel of a run: one that is there, or a ghostd of the run's own."""
import os
import re
import signal

from . import commands, procfs
from .errors import NO_KERNEL, ExperimentError
from .journal import Journal
from .processes import Child, PartFailed, Processes

DEFAULT_PLACE = "/sys/fs/ghost"
READY_S = 30.0
END_SEEN_S = 2.0  # from a program's end until its script has heard of it
AGENT_ACTIVE = "Initialization complete, ghOSt active."
_ENCLAVE = re.compile(r"/(enclave_\d+)/")


def _is_ghostfs(path: str) -> bool:
    return os.path.isfile(os.path.join(path, "version"))


def find(given: str | None) -> str | None:
    """The ghostfs to use, or None: start a ghostd. `given` and $GHOSTFS go before /sys/fs/ghost, and must be right."""
    path = given or os.environ.get("GHOSTFS")
    if path:
        if not _is_ghostfs(path):
            raise ExperimentError(f"{path} is no ghostfs", "leave it out: a ghostd is started then", NO_KERNEL)
        return path
    return DEFAULT_PLACE if _is_ghostfs(DEFAULT_PLACE) else None


class GhostKernel:
    """ghostfs, and whoever must live for it."""

    def __init__(self, ghostfs: str, daemon: Child | None = None):
        self.ghostfs = ghostfs
        self.daemon = daemon

    @property
    def alive(self) -> list[Child]:
        return [self.daemon] if self.daemon is not None else []

    @staticmethod
    def start(program: str, place: str, processes: Processes, journal: Journal, cpus: list[int]) -> "GhostKernel":
        """A ghostd with its mount in the folder `place`, pinned to `cpus` if there are any."""
        mount = os.path.join(place, "ghost")
        journal.add("mount", path=mount)
        daemon = processes.start("ghostd", [program, *commands.ghostd(mount)], cpus=cpus, death_signal=signal.SIGTERM)
        processes.expect(daemon, "ghostd: serving", READY_S)
        return GhostKernel(mount, daemon)

    def start_agent(self, name: str, command: list[str], processes: Processes, journal: Journal) -> tuple[Child, str]:
        """An agent that is active, and the name of its enclave."""
        agent = processes.start(name, command)
        processes.expect(agent, AGENT_ACTIVE, READY_S, self.alive)
        enclave = enclave_of(processes.run_id, name)
        if enclave is None:
            processes.wait(lambda: agent.ended, END_SEEN_S)  # the likely reason
            processes.check([*self.alive, agent])
            raise PartFailed(f"{name} is active, but in no enclave")
        if self.daemon is None:  # a ghost kernel keeps the enclave of an agent that was killed
            journal.add("enclave", path=os.path.join(self.ghostfs, enclave))
        return agent, enclave

    def agent_has_ended(self, enclave: str, journal: Journal) -> None:
        """In order: it has taken its enclave along."""
        if self.daemon is None:
            journal.add("gone", path=os.path.join(self.ghostfs, enclave))


def enclave_of(run_id: str, role: str) -> str | None:
    """The enclave whose files the processes of this role have open."""
    for pid, its_role in procfs.processes_of_run(run_id).items():
        if its_role != role:
            continue
        try:
            descriptors = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                found = _ENCLAVE.search(os.readlink(f"/proc/{pid}/fd/{descriptor}") + "/")
            except OSError:
                continue
            if found:
                return found.group(1)
    return None

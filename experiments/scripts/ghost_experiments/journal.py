"""What a run has changed on this machine, written down before it changes it, so that anybody can undo it.

A journal is a file of JSON lines. Its run holds a lock on it for as long as it lives; who gets the lock while the file
is there has found a run that died, and undoes what the file says: the run's guardian (guardian.py) at once; if that is
dead as well, the next run, or --restore. Undoing twice does no harm.

Its place is tmpfs where there is one: what a run changes does not outlive a boot either.
"""
import contextlib
import errno
import fcntl
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from typing import Any, TextIO

from . import procfs
from .errors import PERMISSION, ExperimentError
from .files import write_text

SUFFIX = ".journal"
GENTLE_S = 10.0  # how long ghostd may take to let everybody go
LOOK_S = 0.02    # how often a state is looked at that announces itself to nobody


def state_directory() -> str:
    """Where journals are; the environment may say otherwise, for tests."""
    given = os.environ.get("GHOST_EXPERIMENTS_STATE")
    if given:
        return given
    if os.getuid() == 0 and os.path.isdir("/run"):
        return "/run/ghost-experiments"
    return os.path.join(os.environ.get("XDG_RUNTIME_DIR", "/tmp"), f"ghost-experiments-{os.getuid()}")


class Journal:
    """Of a run, from its start to its end. Not for several threads."""

    def __init__(self, directory: str | None = None):
        directory = directory or state_directory()
        self.run_id = uuid.uuid4().hex[:12]
        self.path = os.path.join(directory, self.run_id + SUFFIX)
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            self._file: TextIO = open(self.path + ".new", "x", encoding="utf-8")
        except OSError as error:
            raise ExperimentError(f"cannot write {self.path}: {error.strerror}",
                                  "GHOST_EXPERIMENTS_STATE=DIR names another place", PERMISSION) from error
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self.add("run", id=self.run_id, pid=os.getpid())
        os.rename(self._file.name, self.path)  # nobody sees it before it is locked

    def add(self, kind: str, **fields: Any) -> None:
        """Returns when it is on its way to the disk: from then on it will be undone."""
        json.dump({"kind": kind, **fields}, self._file)
        self._file.write("\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def undo(self) -> list[str]:
        """The run's own end: undoes all and removes the file. Returns what could not be undone."""
        complaints = undo_file(self.path)
        self._file.close()
        return complaints


def read(path: str) -> list[dict[str, Any]]:
    """The entries; a line that was cut off by a death was not acted upon."""
    entries = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                entries.append(json.loads(line))
            except ValueError:
                break
    return entries


def wait_until(condition: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_S)
    return True


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def end_processes(run_id: str) -> list[str]:
    """All of a run but the one that calls: first its programs; then ghostd, gently, as it has threads to set free."""
    mine = os.getpid()

    def others(ghostd: bool) -> list[int]:
        return [pid for pid, role in procfs.processes_of_run(run_id).items()
                if pid != mine and (role == "ghostd") == ghostd]

    def kill_programs() -> bool:  # again for those that were just being born
        programs = others(ghostd=False)
        for pid in programs:
            _signal(pid, signal.SIGKILL)
        return not programs

    wait_until(kill_programs, GENTLE_S)
    for pid in others(ghostd=True):
        _signal(pid, signal.SIGTERM)  # its guardian ignores that, and ends by itself
    if not wait_until(lambda: not others(ghostd=True), GENTLE_S):
        family = others(ghostd=True)
        for pid in family:
            if procfs.parent(pid) not in family:
                _signal(pid, signal.SIGKILL)
        if not wait_until(lambda: not others(ghostd=True), GENTLE_S):
            for pid in others(ghostd=True):
                _signal(pid, signal.SIGKILL)
            wait_until(lambda: not others(ghostd=True), GENTLE_S)
    left = others(ghostd=True) + others(ghostd=False)
    return [f"process {pid} does not end" for pid in left]


def _undo_setting(entry: dict[str, Any]) -> None:
    write_text(entry["path"], entry["old"])


def _undo_mount(entry: dict[str, Any]) -> None:
    path = entry["path"]
    # Not ismount: a dead FUSE mount answers nothing but ENOTCONN.
    with open("/proc/self/mounts", encoding="utf-8") as file:
        mounted = any(line.split()[1] == path for line in file)
    if mounted:
        subprocess.run(["umount", "-l", path], check=False, capture_output=True)
    if os.path.isdir(path):
        os.rmdir(path)


def _undo_directory(entry: dict[str, Any]) -> None:
    shutil.rmtree(entry["path"])


def _undo_cgroup(entry: dict[str, Any]) -> None:
    def removed() -> bool:
        try:
            os.rmdir(entry["path"])
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True
    if not wait_until(removed, GENTLE_S):
        raise OSError(errno.EBUSY, "it is still in use", entry["path"])


def _undo_enclave(entry: dict[str, Any]) -> None:
    write_text(os.path.join(entry["path"], "ctl"), "destroy")


# In the order in which it is done: nobody uses what is taken away.
UNDO = {
    "enclave": _undo_enclave,
    "mount": _undo_mount,
    "cgroup": _undo_cgroup,
    "setting": _undo_setting,
    "directory": _undo_directory,
}


def _still_there(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what the run has undone itself: by now the name may be somebody else's."""
    left: list[dict[str, Any]] = []
    for entry in entries:
        if entry["kind"] == "gone":
            left = [other for other in left if other.get("path") != entry["path"]]
        else:
            left.append(entry)
    return left


def undo_file(path: str) -> list[str]:
    """Undoes all that a journal says and removes it; what cannot be undone is returned, and is not tried again."""
    entries = read(path)
    complaints = []
    for entry in entries:
        if entry["kind"] == "run":
            complaints += end_processes(entry["id"])
    for kind, undo in UNDO.items():
        for entry in reversed([entry for entry in _still_there(entries) if entry["kind"] == kind]):
            try:
                undo(entry)
            except FileNotFoundError:
                pass  # it is gone already, or was never made
            except OSError as error:
                complaints.append(f"{entry['path']}: {error.strerror}")
    os.unlink(path)
    return complaints


def _journals(directory: str) -> list[str]:
    return sorted(glob.glob(os.path.join(glob.escape(directory), "*" + SUFFIX)))


def undo_dead_runs(directory: str | None = None, wait: bool = False) -> list[str]:
    """Undoes what runs left whose script and guardian were killed. Returns their ids.

    wait: also for runs whose guardian is about it, and never for one that lives.
    """
    directory = directory or state_directory()
    undone = []
    for path in _journals(directory):
        try:
            with open(path, encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.exists(path):
                    for complaint in undo_file(path):
                        print(f"cannot restore {complaint}", file=sys.stderr)
                    undone.append(os.path.basename(path).removesuffix(SUFFIX))
        except BlockingIOError:  # it lives, or its guardian is about it
            continue
        except FileNotFoundError:
            continue
    if wait:
        wait_until(lambda: not _being_undone(directory), 4 * GENTLE_S)
    return undone


def _entries_of_runs(directory: str) -> list[list[dict[str, Any]]]:
    """Of every journal that is there."""
    found = []
    for path in _journals(directory):
        with contextlib.suppress(FileNotFoundError):
            found.append(read(path))
    return [entries for entries in found if entries]


def living_runs(directory: str | None = None) -> list[int]:
    """The scripts that are at work, this one not among them."""
    pids = [entries[0]["pid"] for entries in _entries_of_runs(directory or state_directory())]
    return [pid for pid in pids if procfs.lives(pid) and pid != os.getpid()]


def _being_undone(directory: str) -> bool:
    """Whether there is a journal whose run is dead."""
    return any(not procfs.lives(entries[0]["pid"]) for entries in _entries_of_runs(directory))

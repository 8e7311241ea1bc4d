"""What /proc says of processes: whose they are, whether they live, how much CPU time they had."""
import os

RUN_VARIABLE = "GHOST_EXPERIMENT_RUN"    # marks every process of a run; children inherit it
ROLE_VARIABLE = "GHOST_EXPERIMENT_ROLE"  # what it is there: "ghostd", "agent_shinjuku", "rocksdb", …


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def environment(pid: int) -> dict[str, str]:
    """That with which it was started; empty if it is gone or somebody else's."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            text = file.read().decode(errors="replace")
    except OSError:
        return {}
    return dict(word.split("=", 1) for word in text.split("\0") if "=" in word)


def status_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, state first; empty if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def lives(pid: int) -> bool:
    """Neither gone nor a zombie."""
    fields = status_fields(pid)
    return bool(fields) and fields[0] not in "ZX"


def parent(pid: int) -> int:
    fields = status_fields(pid)
    return int(fields[1]) if fields else 0


def processes_of_run(run_id: str) -> dict[int, str]:
    """The living processes of a run, each with its role."""
    found = {}
    for pid in pids():
        variables = environment(pid)
        if variables.get(RUN_VARIABLE) == run_id and lives(pid):
            found[pid] = variables.get(ROLE_VARIABLE, "")
    return found


def cpu_time_ns(pid: int) -> int:
    """What all threads that it has now have executed; 0 if it is gone."""
    total = 0
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return 0
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        except (OSError, IndexError, ValueError):
            continue
    return total


def cpu_times_by_role(run_id: str) -> dict[str, int]:
    """ns, added up over the processes of a role (an agent program has two, ghostd has a guardian)."""
    times: dict[str, int] = {}
    for pid, role in processes_of_run(run_id).items():
        times[role] = times.get(role, 0) + cpu_time_ns(pid)
    return times

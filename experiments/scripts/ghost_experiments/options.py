"""The options of the programs that an experiment runs, as dataclasses that become command lines.

A field has the name of its flag; None leaves the flag to the program's default.
"""
import dataclasses
from typing import Any


def flags(options: Any) -> list[str]:
    """--name=value for every field that is set, in the order of the fields."""
    words = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value is not None:
            words.append(f"--{field.name}={str(value).lower() if isinstance(value, bool) else value}")
    return words


def seconds(value: float) -> str:
    """As absl writes durations: 10s, 1.5s."""
    return f"{value:g}s"


@dataclasses.dataclass(frozen=True)
class RocksdbOptions:
    throughput: int
    scheduler: str
    num_workers: int
    load_generator_cpus: str
    range_query_ratio: float = 0.0
    cfs_dispatcher_cpus: str | None = None
    worker_cpus: str | None = None
    cfs_wait_type: str | None = None
    ghost_wait_type: str | None = None
    get_duration: str = "10us"
    range_duration: str = "5000us"
    experiment_duration: str = "15s"
    discard_duration: str = "2s"
    ghost_qos: int | None = None
    rocksdb_db_path: str | None = None
    ghostfs: str | None = None
    enclave: str | None = None
    print_format: str = "json"


@dataclasses.dataclass(frozen=True)
class AntagonistOptions:
    scheduler: str
    num_threads: int
    work_share: float = 1.0
    cpus: str | None = None
    experiment_duration: str = "inf"
    ghost_qos: int | None = None
    ghostfs: str | None = None
    enclave: str | None = None
    print_format: str = "json"


@dataclasses.dataclass(frozen=True)
class AgentOptions:
    ghost_cpus: str
    globalcpu: int | None = None
    preemption_time_slice: str | None = None
    ghostfs: str | None = None


@dataclasses.dataclass(frozen=True)
class GhostdOptions:
    mount: str

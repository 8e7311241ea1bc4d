"""A folder of results: what was asked for, each point as soon as it is there, and all of them together.

    run.json                   what was asked for, the plan, the machine; with it a run can be resumed
    points/SYSTEM-LOAD.json    one finished point: the programs' own results, untouched, and the command lines
    results.json               all of it in one file, at the end
    *.png, *.svg, report.html  made from results.json
"""
import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

from .errors import USAGE, ExperimentError

FORMAT = 1


@contextlib.contextmanager
def writing_to(directory: str) -> Iterator[None]:
    """For results: what cannot be done there is the user's to mend."""
    try:
        yield
    except OSError as error:
        raise ExperimentError(f"cannot write to {directory}: {error.strerror}", "--output names another", USAGE
                              ) from error


def write_json(path: str, data: Any) -> None:
    """Whole or not at all."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
        file.write("\n")
    os.rename(path + ".new", path)


def _load(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    if not isinstance(data, dict):
        raise ValueError("not an object")
    return data


class Store:
    def __init__(self, directory: str, config: dict[str, Any]):
        self.directory = directory
        self.config = config

    @staticmethod
    def create(directory: str, config: dict[str, Any]) -> "Store":
        """A new folder, or an empty one."""
        with writing_to(directory):
            os.makedirs(directory, exist_ok=True)
            if os.listdir(directory):
                raise ExperimentError(f"{directory} is not empty",
                                      f"--resume {directory} goes on with it; --output names another", USAGE)
            os.mkdir(os.path.join(directory, "points"))
        store = Store(directory, {"format": FORMAT, **config})
        store.save_config()
        return store

    @staticmethod
    def open(directory: str) -> "Store":
        path = os.path.join(directory, "run.json")
        try:
            config = _load(path)
        except (OSError, ValueError) as error:
            raise ExperimentError(f"{directory} is no folder of results: {error}",
                                  "give the folder that an earlier run has named", USAGE) from error
        if config.get("format") != FORMAT:
            raise ExperimentError(f"{path}: format {config.get('format')}, this version writes {FORMAT}",
                                  "begin anew", USAGE)
        return Store(directory, config)

    def save_config(self) -> None:
        write_json(os.path.join(self.directory, "run.json"), self.config)

    def _path(self, system: str, load: int) -> str:
        return os.path.join(self.directory, "points", f"{system}-{load}.json")

    def has(self, system: str, load: int) -> bool:
        try:
            _load(self._path(system, load))
        except (OSError, ValueError):
            return False
        return True

    def save(self, record: dict[str, Any]) -> None:
        write_json(self._path(record["system"], record["load"]), record)

    def records(self) -> list[dict[str, Any]]:
        """The finished points, in the order of the sweep."""
        return [_load(self._path(system, load)) for system, loads in self.config.get("loads", {}).items()
                for load in loads if self.has(system, load)]

    def write_results(self) -> str:
        path = os.path.join(self.directory, "results.json")
        write_json(path, {**self.config, "points": self.records()})
        return path

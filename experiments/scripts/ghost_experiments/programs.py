"""Where the programs are: bazel-bin of this clone, built if they are not there."""
import os
import subprocess
import sys
from collections.abc import Iterable

from .errors import FAILED, USAGE, ExperimentError

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", ".."))


def find(names: Iterable[str], directory: str | None = None, build: bool = True) -> dict[str, str]:
    """The path of each. `directory`: they are there and nowhere else."""
    names = sorted(set(names))
    place = directory or os.path.join(ROOT, "bazel-bin")
    missing = [name for name in names if not os.access(os.path.join(place, name), os.X_OK)]
    if missing and directory:
        raise ExperimentError(f"{place} has no {', '.join(missing)}",
                              "--bin names the folder of the programs; without it they are built", USAGE)
    if missing:
        command = ["bazel", "build", "-c", "opt", *names]
        if not build:
            raise ExperimentError(f"{', '.join(missing)}: not built", "run: " + " ".join(command), FAILED)
        _build(command)
    return {name: os.path.join(place, name) for name in names}


def _build(command: list[str]) -> None:
    print("building: " + " ".join(command), flush=True)
    try:
        result = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False, stdout=sys.stderr)
    except OSError as error:
        raise ExperimentError(f"cannot run bazel: {error.strerror}", "util/setup.sh installs it") from error
    if result.returncode != 0:
        raise ExperimentError("the build failed: see above", "util/setup.sh installs what it takes")

"""The command line of the scripts."""
import argparse
import re
from collections.abc import Sequence

from .errors import USAGE, ExperimentError
from .experiments import POLICIES, Experiment

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
LEAST_DURATION_S = 0.5

_EPILOG = """
examples:
  {name} ghost cfs --scale auto --duration 10s   # what this machine can carry, over ghostd if it must
  {name} ghost --policy shinjuku,fifo,edf --scale auto
  {name} ghost cfs                               # the paper's loads and CPUs: 9 CPUs and more
  {name} --simulate                              # on the simulation, at the paper's size
  {name} --resume DIR                            # go on with a run that was stopped
  {name} --restore                               # undo what a killed run has left

Exit codes: 0 ok, 1 failed, 2 usage, 3 no ghost kernel, 4 permission, 5 busy. docs/experiments.md tells more.
"""


def duration_s(text: str) -> float:
    """10s, 500ms, 1.5m: in seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s|m)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 10s, 500ms or 2m")
    return float(match.group(1)) * _UNITS[match.group(2)]


def _scale(text: str) -> str:
    if text in ("", "auto"):  # argparse sends defaults through here, too
        return text
    try:
        if 0 < float(text) <= 1:
            return text
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is neither 'auto' nor a factor between 0 and 1")


def _loads(text: str) -> list[int]:
    try:
        loads = [int(word) for word in text.split(",")]
    except ValueError:
        loads = [0]
    if min(loads) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of requests per second, such as 1000,2000,4000")
    return sorted(set(loads))


def _policies(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in POLICIES]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no policy {unknown[0]!r}; there are {', '.join(POLICIES)}")
    return list(dict.fromkeys(names))


def _points(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of points")
    return int(text)


class Parser(argparse.ArgumentParser):
    """Whose complaints are an ExperimentError."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise ExperimentError(message, f"{self.prog} --help", USAGE)


def parser(experiment: Experiment) -> argparse.ArgumentParser:
    result = Parser(prog=experiment.name, description=experiment.summary + ".", allow_abbrev=False,
                     formatter_class=argparse.RawDescriptionHelpFormatter,
                     epilog=_EPILOG.format(name=experiment.name))
    add = result.add_argument
    add("systems", nargs="*", metavar="cfs|ghost", help="which schedulers: Linux's own, policies over ghost, or both")
    add("--policy", type=_policies, default=["shinjuku"], metavar="P,…",
        help=f"which policies over ghost: {', '.join(POLICIES)} (shinjuku)")
    add("--scale", type=_scale, default="", metavar="auto|FACTOR",
        help="auto: CPUs, threads and loads as this machine has and carries them; a factor of the paper's")
    add("--duration", type=duration_s, default=15.0, metavar="D", help="of each point (15s)")
    add("--discard", type=duration_s, default=2.0, metavar="D", help="of it, not counted at its start (2s)")
    add("--points", type=_points, metavar="N", help="points of each sweep (6 with --scale auto, else all)")
    add("--loads", type=_loads, metavar="N,…", help="requests per second, instead of the sweep")
    add("--get_duration", type=duration_s, default=10e-6, metavar="D", help="of a Get request (10us)")
    add("--range_duration", type=duration_s, default=5e-3, metavar="D", help="of a range request (5ms)")
    add("--slice", metavar="D", help="of agents that have slices, as 50us (the experiment's own; 500us with --scale "
        "auto over ghostd)")
    add("--output", metavar="DIR", help="where results go (/tmp/ghost_data/…)")
    add("--resume", metavar="DIR", help="go on with a run: its finished points are kept, its options hold")
    add("--restore", action="store_true", help="undo what killed runs have left, and end")
    add("--tune", action="store_true", help="for the time of the run: no deep idle states, CPUs at full speed, …")
    add("--ghostfs", metavar="DIR", help="a ghost kernel that is there ($GHOSTFS, /sys/fs/ghost; else own ghostd)")
    add("--bin", metavar="DIR", help="the folder of the programs (bazel-bin of this clone, built if missing)")
    add("--no_build", action="store_true", help="fail if they are not built")
    add("--no_report", action="store_true", help="results.json only: no plots, no page, no need of matplotlib")
    add("--dry_run", action="store_true", help="print the plan and the commands, and end")
    add("--simulate", action="store_true", help="the same on the simulation, at the paper's size")
    return result


def parse(experiment: Experiment, words: Sequence[str]) -> argparse.Namespace:
    """ExperimentError for anything wrong; --help ends the process."""
    options = parser(experiment).parse_intermixed_args(list(words))
    wrong = [word for word in options.systems if word not in ("cfs", "ghost")]
    if wrong:
        raise ExperimentError(f"there is no scheduler {wrong[0]!r}", "cfs, ghost, or both", USAGE)
    if not (options.systems or options.simulate or options.resume or options.restore):
        raise ExperimentError("which schedulers?", f"{experiment.name} ghost cfs --scale auto", USAGE)
    if options.slice and options.slice != "inf":
        try:
            duration_s(options.slice)
        except argparse.ArgumentTypeError as error:
            raise ExperimentError(f"--slice: {error}", "50us, 1ms or inf", USAGE) from error
    if options.duration < LEAST_DURATION_S:
        raise ExperimentError(f"--duration: less than {LEAST_DURATION_S:g} s", "10s measures something", USAGE)
    return options


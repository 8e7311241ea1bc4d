#!/usr/bin/python3
"""Stands for every program of a run, in tests of the scripts: does what its name says, as briefly as it can.

Its files are in the folder of the ghostfs that it is given, or of its fake ghostd. $FAKE_SECONDS divides every
duration; $FAKE_CAPACITY is how many requests per second "rocksdb" serves; $FAKE_DIES names a program that kills itself
once it is ready, $FAKE_REFUSES one that may not run.
"""
import json
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), ".."))
from ghost_experiments import files, samples  # noqa: E402  pylint: disable=wrong-import-position

LIFE_S = 60  # of one that nobody ends
NAME = os.path.basename(sys.argv[0])
FLAGS = dict(word[2:].split("=", 1) for word in sys.argv[1:])


def seconds(text: str) -> float:
    return LIFE_S if text == "inf" else min(LIFE_S, float(text[:-1]) / float(os.environ.get("FAKE_SECONDS", "100")))


def ready(stream, line: str) -> None:
    if os.environ.get("FAKE_REFUSES") == NAME:
        print(f"{NAME}: not allowed\nhint: be root", file=sys.stderr)
        sys.exit(4)
    print(line, file=stream, flush=True)
    if os.environ.get("FAKE_DIES") == NAME:
        os.kill(os.getpid(), signal.SIGKILL)


def stop_or(limit_s: float) -> None:
    """Until SIGINT or SIGTERM, or for so long."""
    signal.sigtimedwait({signal.SIGINT, signal.SIGTERM}, limit_s)


def ghostd() -> None:
    mount = FLAGS["mount"]
    os.makedirs(os.path.join(mount, "enclave_1"))
    for path in ("version", "enclave_1/ctl"):
        files.write_text(os.path.join(mount, path), "91\n")
    ready(sys.stdout, f"ghostd: serving {mount}")
    stop_or(LIFE_S)
    shutil.rmtree(mount)


def agent() -> None:
    with open(os.path.join(FLAGS["ghostfs"], "enclave_1/ctl"), encoding="ascii"):
        print("Initializing...")
        ready(sys.stdout, "Initialization complete, ghOSt active.")
        stop_or(LIFE_S)
    print("\nDone!")


def rocksdb() -> None:
    os.makedirs(FLAGS["rocksdb_db_path"], exist_ok=True)
    ready(sys.stderr, "rocksdb: ready")
    stop_or(seconds(FLAGS["experiment_duration"]))
    offered = float(FLAGS["throughput"])
    served = min(offered, float(os.environ.get("FAKE_CAPACITY", "10000")))
    print(json.dumps(samples.rocksdb(offered, served, ranges=float(FLAGS["range_query_ratio"]) > 0)))


def antagonist() -> None:
    ready(sys.stderr, "antagonist: ready")
    stop_or(seconds(FLAGS["experiment_duration"]))
    print(json.dumps(samples.antagonist(workers=int(FLAGS["num_threads"]))))


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    {"ghostd": ghostd, "rocksdb": rocksdb, "antagonist": antagonist}.get(NAME, agent)()

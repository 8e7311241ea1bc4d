"""The guardian of a run: waits for the end of its script, and undoes what that could not undo itself.

A process of its own, in a session of its own, deaf to what ends the script (Ctrl-C, a closed terminal): so nothing
is left behind even if the script is killed with SIGKILL. It waits for the lock on the run's journal, which the kernel
takes from the script when it dies, however it dies. After an orderly end there is no journal any more.

    /usr/bin/python3 guardian.py JOURNAL     as Guardian starts it
"""
import fcntl
import os
import signal
import subprocess
import sys

if __package__:
    from . import journal
else:  # as a program
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    from ghost_experiments import journal


def start(path: str) -> subprocess.Popen[bytes]:
    """Returns when it watches."""
    process = subprocess.Popen([sys.executable, os.path.realpath(__file__), path], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, start_new_session=True, cwd="/")
    assert process.stdout is not None
    if not process.stdout.readline():
        raise RuntimeError(f"the guardian of {path} does not start")
    process.stdout.close()
    return process


def main(path: str) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    with open(path, encoding="utf-8") as file:
        print("watching", flush=True)
        sys.stdout.close()
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.path.exists(path):
            journal.undo_file(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

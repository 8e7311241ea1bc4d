#!/usr/bin/python3
"""Lists the BPF programs and maps that nobody holds, or only the processes PID...: `prog 12` and `map 7`, a line each.

    bpf_ids.py PID...

Compared before and after, it says what somebody who has ended has left loaded, whatever others load meanwhile.
"""
import ctypes
import glob
import os
import re
import sys

SYS_BPF = 321
NEXT_ID = {"prog": 11, "map": 12}


def all_ids(kind: str) -> set[int]:
    libc = ctypes.CDLL(None, use_errno=True)
    attribute = (ctypes.c_uint32 * 32)()
    found: set[int] = set()
    while True:
        attribute[0] = max(found, default=0)
        if libc.syscall(SYS_BPF, NEXT_ID[kind], ctypes.byref(attribute), 128) != 0:
            return found
        found.add(attribute[1])


def held_by_others(kind: str, ours: set[str]) -> set[int]:
    held: set[int] = set()
    for path in glob.glob("/proc/[0-9]*/fdinfo/*"):
        if path.split("/")[2] in ours:
            continue
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                held |= {int(number) for number in re.findall(rf"^{kind}_id:\s*(\d+)", file.read(), re.MULTILINE)}
        except OSError:
            pass  # it has gone meanwhile
    return held


def main() -> None:
    ours = {*sys.argv[1:], str(os.getpid())}
    for kind in NEXT_ID:
        for number in sorted(all_ids(kind) - held_by_others(kind, ours)):
            print(kind, number)


if __name__ == "__main__":
    main()

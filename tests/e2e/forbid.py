#!/usr/bin/python3
"""Runs a command whose process, and all that it starts, meet a wall at one system call: an error, or the end.

    forbid.py bpf EPERM -- CMD...            every bpf(2) fails
    forbid.py bpf:5 kill -- CMD...           the first bpf(BPF_PROG_LOAD) kills the process, by SIGSYS
    forbid.py ioctl:0x40186741 kill -- CMD...

A number after the colon is the command of bpf(2), or the request of ioctl(2). x86-64 only.
"""
import ctypes
import errno
import os
import struct
import sys

CALLS = {"bpf": (321, 0), "ioctl": (16, 1)}  # the call's number, and which argument is told apart
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
ALLOW, KILL_PROCESS, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def filter_code(call: str, action: str) -> bytes:
    """A classic BPF program over struct seccomp_data: nr at 0, the lower halves of the arguments from 16 on."""
    name, _, value = call.partition(":")
    number, argument = CALLS[name]
    verdict = KILL_PROCESS if action == "kill" else ERRNO | getattr(errno, action)
    load, equal, ret = 0x20, 0x15, 0x06
    code = [(load, 0, 0, 0), (equal, 0, 3 if value else 1, number)]
    if value:
        code += [(load, 0, 0, 16 + 8 * argument), (equal, 0, 1, int(value, 0))]
    code += [(ret, 0, 0, verdict), (ret, 0, 0, ALLOW)]
    return b"".join(struct.pack("<HBBI", *each) for each in code)


def main() -> None:
    call, action, dashes, *command = sys.argv[1:]
    assert dashes == "--" and command, __doc__
    code = ctypes.create_string_buffer(filter_code(call, action))
    program = struct.pack("<HxxxxxxQ", len(code.raw) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, MODE_FILTER, program, 0, 0)):
        if libc.prctl(*arguments) != 0:
            sys.exit(f"forbid.py: prctl: {os.strerror(ctypes.get_errno())}")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()

"""Includes only go down the layers: base < kernel < core < drivers, and base < kernel < lib < policies < programs.

shared stands on lib/base alone, and tests may include all.
"""
import os
import re
import unittest

from tests.style import source_tree

# Room: the rooms that its files may include, besides itself. A file is in the room with the longest prefix of its path.
ROOMS = {
    "lib/base/": [],
    "kernel/": ["lib/base/"],
    # Where a ghostd differs from a ghost kernel: a page for both sides.
    "kernel/usermode/core/dialect.h": [],
    "kernel/usermode/core/": ["kernel/", "kernel/usermode/core/dialect.h", "lib/base/"],
    "kernel/usermode/": ["kernel/", "kernel/usermode/core/", "kernel/usermode/core/dialect.h", "kernel/usermode/linux/",
                         "lib/base/", "lib/cli.h", "third_party/bpf/"],
    "kernel/usermode/linux/": ["kernel/", "kernel/usermode/core/", "kernel/usermode/core/dialect.h", "lib/base/",
                               "third_party/bpf/"],
    # It is behind the framework's port to a kernel, too: above lib. Nobody but programs and tests may include it.
    "kernel/usermode/sim/": ["kernel/", "kernel/usermode/core/", "kernel/usermode/core/dialect.h", "lib/", "lib/base/",
                             "third_party/bpf/pnt_ring"],
    "third_party/bpf/": [],
    # What the framework's runtime shares with its program: memory, and a protocol.
    "third_party/bpf/pnt_ring": ["third_party/bpf/"],
    "lib/": ["kernel/", "kernel/usermode/core/dialect.h", "lib/base/", "lib/cli.h", "third_party/bpf/pnt_ring"],
    # Command lines of every program; it knows nothing of ghost.
    "lib/cli.h": ["lib/base/"],
    "shared/": ["lib/base/"],
    "bpf/": ["kernel/", "lib/", "lib/base/", "third_party/bpf/"],
    # Programs.
    "bpf/tools/": ["kernel/", "kernel/usermode/core/dialect.h", "lib/", "lib/base/", "lib/cli.h", "third_party/bpf/"],
    "schedulers/": ["bpf/", "kernel/", "lib/", "lib/base/", "lib/cli.h", "shared/", "third_party/bpf/"],
    "util/": ["bpf/", "kernel/", "kernel/usermode/core/dialect.h", "lib/", "lib/base/", "lib/cli.h", "shared/"],
    "util/ghostsim": ["kernel/", "kernel/usermode/core/", "kernel/usermode/sim/", "lib/", "lib/base/", "lib/cli.h",
                      "schedulers/"],
    "experiments/": ["experiments/microbenchmarks/simulated_", "kernel/", "lib/", "lib/base/", "lib/cli.h", "shared/"],
    # The same measurement as over a kernel, on the simulation.
    "experiments/microbenchmarks/simulated_": ["experiments/", "kernel/", "kernel/usermode/core/",
                                               "kernel/usermode/sim/", "lib/", "lib/base/"],
    "tests/": None,  # all
}

# A policy is tested on the simulation.
TEST_EXTRAS = {
    "schedulers/": ["kernel/usermode/core/", "kernel/usermode/sim/"],
    "kernel/usermode/sim/": ["schedulers/"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def room_of(path):
    """The room of a file, or None for one that is none of ours (absl/..., gtest/...)."""
    return max((room for room in ROOMS if path.startswith(room)), key=len, default=None)


def allowed_rooms(path):
    room = room_of(path)
    allowed = ROOMS[room]
    if allowed is None:
        return set(ROOMS)
    extras = TEST_EXTRAS.get(room, []) if path.endswith(("_test.cc", "_benchmark.cc")) else []
    return {room, *allowed, *extras}


def violations(top):
    found = []
    for path in source_tree.sources(top):
        with open(os.path.join(top, path), errors="replace") as text:
            includes = INCLUDE.findall(text.read())
        if room_of(path) is None:
            found.append("%s: is in no room" % path)
            continue
        allowed = allowed_rooms(path)
        for include in includes:
            room = room_of(include)
            if room is not None and room not in allowed:
                found.append("%s: includes %s, above or beside its layer" % (path, include))
    return found


class LayeringTest(unittest.TestCase):
    def check(self, path, include, ok):
        with source_tree.Sample({path: '#include "%s"\n' % include}) as top:
            self.assertEqual(violations(top) == [], ok, "%s includes %s" % (path, include))

    def test_finds_upward_includes(self):
        for path, include in [
                ("lib/base/time.cc", "lib/topology.h"), ("lib/base/time.cc", "kernel/ghost_uapi.h"),
                ("kernel/abi/message.cc", "lib/channel.h"), ("kernel/abi/message.cc", "kernel/usermode/core/core.h"),
                ("kernel/usermode/core/core.cc", "kernel/usermode/linux/gate.h"),
                ("kernel/usermode/core/core.cc", "lib/channel.h"),
                ("kernel/usermode/linux/gate.cc", "kernel/usermode/sim/sim.h"),
                ("kernel/usermode/core/core.cc", "kernel/usermode/sim/machine.h"),
                ("kernel/usermode/ghostd.cc", "kernel/usermode/sim/machine.h"),
                ("kernel/usermode/sim/machine.cc", "kernel/usermode/linux/gate.h"),
                ("kernel/usermode/sim/machine.cc", "schedulers/fifo/per_cpu/fifo_policy.h"),
                ("util/ghostctl.cc", "kernel/usermode/sim/machine.h"),
                ("experiments/rocksdb/x.cc", "kernel/usermode/sim/machine.h"),
                ("experiments/rocksdb/x.cc", "schedulers/fifo/per_cpu/fifo_policy.h"),
                ("lib/ghostfs.cc", "kernel/usermode/core/core.h"), ("lib/ghostfs_test.cc", "kernel/usermode/sim/sim.h"),
                ("lib/agent.cc", "schedulers/fifo/per_cpu/fifo_policy.h"), ("shared/shmem.cc", "kernel/ghost_uapi.h"),
                ("shared/shmem.cc", "lib/gtid.h"), ("schedulers/fifo/fifo_policy.cc", "kernel/usermode/sim/sim.h"),
                ("schedulers/fifo/fifo_policy.cc", "util/x.h"), ("util/ghostctl.cc", "kernel/usermode/linux/gate.h"),
                ("bpf/tools/tool.cc", "kernel/usermode/linux/gate.h"), ("bpf/loader.cc", "lib/cli.h"),
                ("elsewhere/x.cc", "lib/base/time.h")]:
            self.check(path, include, ok=False)

    def test_allows_downward_includes(self):
        for path, include in [
                ("lib/base/time.cc", "lib/base/time.h"), ("lib/base/time.cc", "absl/time/time.h"),
                ("kernel/abi/message.cc", "kernel/ghost_uapi.h"), ("kernel/abi/message.cc", "lib/base/logging.h"),
                ("kernel/usermode/core/core.cc", "kernel/abi/message.h"),
                ("kernel/usermode/linux/gate.cc", "kernel/usermode/core/core.h"),
                ("kernel/usermode/ghostd.cc", "kernel/usermode/linux/gate.h"),
                ("kernel/usermode/sim/sim_kernel.cc", "lib/kernel.h"),
                ("kernel/usermode/sim/sim_test.cc", "schedulers/fifo/per_cpu/fifo_policy.h"),
                ("util/ghostsim.cc", "kernel/usermode/sim/machine.h"),
                ("experiments/microbenchmarks/simulated_table3.cc", "kernel/usermode/sim/machine.h"),
                ("lib/ghostfs.cc", "kernel/usermode/core/dialect.h"), ("lib/ghostfs.cc", "kernel/abi/abi_version.h"),
                ("schedulers/fifo/fifo_test.cc", "kernel/usermode/sim/sim.h"), ("shared/shmem.cc", "lib/base/file.h"),
                ("bpf/tools/tool.cc", "lib/cli.h"), ("bpf/tools/tool.cc", "kernel/usermode/core/dialect.h"),
                ("util/ghostctl.cc", "lib/enclave.h"), ("tests/e2e/x.cc", "kernel/usermode/linux/gate.h")]:
            self.check(path, include, ok=True)

    def test_this_workspace(self):
        found = violations(source_tree.root())
        self.assertFalse(found, "\n" + "\n".join(found))


if __name__ == "__main__":
    unittest.main()

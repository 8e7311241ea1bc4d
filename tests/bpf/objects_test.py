"""The BPF objects, by what stands in them: sections, helpers, relocations, instructions, types.

Ghost kernels are made from Linux 5.11, and no stock kernel loads their objects, so that what such a kernel lacks has to
be looked for here. (load_objects_test loads everything, in disguise.) All objects that are built are looked at.
"""
import dataclasses
import functools
import pathlib
import re
import struct
import subprocess
import unittest

FOLDER = pathlib.Path("third_party/bpf")
LAYOUTS = (69, 75, 77, 79, 82, 88, 91)
SECTIONS = {"ghost_sched/pnt", "ghost_msg/msg_send", "ghost_select_rq/select_rq", "ghost_halt_poll/halt_poll"}

# Helpers that Linux 5.11 offers to programs of every type: look-up, update and delete of maps, ktime_get_ns,
# get_prandom_u32, the processor's id, tail calls, push, pop and peek of queues, spin locks, jiffies64,
# ktime_get_boot_ns.
# Others depend on the type, and which a ghost kernel's types have nobody can look up.
ORDINARY = {1, 2, 3, 5, 7, 8, 12, 87, 88, 89, 93, 94, 118, 125}
GHOST_HELPERS = {3000: (69, 91), 3001: (69, 91), 3002: (69, 78), 3003: (79, 91), 3004: (87, 91), 3005: (91, 91),
                 3006: (91, 91)}
# From which layout on nothing changes, up to the last version before the next layout.
LAST_VERSION = dict(zip(LAYOUTS, (*(layout - 1 for layout in LAYOUTS[1:]), 91)))
RUN_GTID = 3001

# Kinds of BTF up to 5.11: DATASEC is the last. (FLOAT is 5.13's, DECL_TAG 5.16's, TYPE_TAG 5.17's, ENUM64 6.0's.)
LAST_BTF_KIND = 15
BTF_KIND = {"INT": 1, "ARRAY": 3, "STRUCT": 4, "UNION": 5, "ENUM": 6, "VAR": 14, "FUNC_PROTO": 13, "DATASEC": 15}
MAP_TYPES = {1, 2, 5, 6, 9, 10, 22, 23, 27}  # hashes and arrays, queue, stack, ring buffer
MAP_FLAGS = 1 << 10 | 1  # mmapable, not preallocated

# Sizes and offsets by the ABI's own table: context of MSG (size, type, seqnum, pref_cpu), TASK_NEW (size, runtime,
# runnable, nice, sw_info, parent_gtid, agent_data); None: not there.
MESSAGE = {69: (48, 40, 44, None), 75: (48, 40, 44, None), 77: (48, 40, 44, None), 79: (48, 40, 44, None),
           82: (56, 40, 44, 48), 88: (64, 48, 52, 56), 91: (64, 48, 52, 56)}
TASK_NEW = {69: (32, 8, 16, None, 20, None, None), 75: (32, 8, 16, 20, 24, None, None),
            77: (40, 16, 24, 28, 32, 8, None), 79: (40, 16, 24, 28, 32, 8, None), 82: (40, 16, 24, 28, 32, 8, None),
            88: (48, 16, 24, 28, 32, 8, 40), 91: (48, 16, 24, 28, 32, 8, 40)}
# Of all layouts.
OTHERS = {"ghost_msg_payload_task_blocked": (32, {"gtid": 0, "runtime": 8, "cpu_seqnum": 16, "cpu": 24}),
          "ghost_msg_payload_task_wakeup": (32, {"agent_data": 8, "deferrable": 16, "last_ran_cpu": 20,
                                                 "wake_up_cpu": 24, "waker_cpu": 28}),
          "ghost_msg_payload_task_preempt": (40, {"cpu_seqnum": 16, "agent_data": 24, "cpu": 32, "from_switchto": 36,
                                                  "was_latched": 37}),
          "ghost_msg_payload_task_yield": (40, {"cpu_seqnum": 16, "agent_data": 24, "cpu": 32, "from_switchto": 36}),
          "ghost_msg_payload_task_departed": (24, {"cpu_seqnum": 8, "cpu": 16, "from_switchto": 20, "was_current": 21}),
          "ghost_msg_payload_task_on_cpu": (32, {"commit_time": 8, "cpu_seqnum": 16, "cpu": 24})}


# Each test looks at all objects, and a process of LLVM's for each costs more than all else.
@functools.cache
def objdump(*arguments: str) -> str:
    return subprocess.run(["llvm-objdump-14", *arguments], check=True, capture_output=True, text=True).stdout


@functools.cache
def section_bytes(path: pathlib.Path, name: str) -> bytes:
    out = subprocess.run(["llvm-objcopy-14", f"--dump-section={name}=/dev/stdout", str(path), "/dev/null"],
                         check=True, capture_output=True)
    return out.stdout


@dataclasses.dataclass
class BtfType:
    kind: int
    name: str
    size: int = 0
    length: int = 0  # of an array
    refers: list[int] = dataclasses.field(default_factory=list)
    members: dict[str, int] = dataclasses.field(default_factory=dict)  # byte offsets
    member_types: dict[str, int] = dataclasses.field(default_factory=dict)


# Bytes that follow a type, and for each of its items.
BTF_EXTRA = {"INT": 4, "ARRAY": 12, "VAR": 4}
BTF_ITEM = {"STRUCT": 12, "UNION": 12, "ENUM": 8, "FUNC_PROTO": 8, "DATASEC": 12}


@functools.cache
def btf_types(path: pathlib.Path) -> list[BtfType]:
    """The types of .BTF by their numbers, as uapi/linux/btf.h lays them out. Ends at a kind that 5.11 does not know."""
    data = section_bytes(path, ".BTF")
    magic, _, _, header, types, types_len, strings, _ = struct.unpack_from("<HBBIIIII", data)
    assert magic == 0xEB9F, hex(magic)
    text = data[header + strings:]
    kinds = {number: kind for kind, number in BTF_KIND.items()}
    found, at, end = [BtfType(0, "void")], header + types, header + types + types_len
    while at < end:
        name, info, size = struct.unpack_from("<III", data, at)
        kind, count = info >> 24 & 0x1F, info & 0xFFFF
        each = BtfType(kind, text[name:text.index(0, name)].decode(), size, refers=[size])
        found.append(each)
        if kind > LAST_BTF_KIND:
            break
        at += 12
        twelves = count if BTF_ITEM.get(kinds.get(kind, "")) == 12 else 0
        items = [struct.unpack_from("<III", data, at + 12 * i) for i in range(twelves)]
        if kind in (BTF_KIND["STRUCT"], BTF_KIND["UNION"]):
            for member, member_type, offset in items:
                member_name = text[member:text.index(0, member)].decode()
                each.members[member_name] = (offset & 0xFFFFFF if info >> 31 else offset) // 8
                each.member_types[member_name] = member_type
        elif kind == BTF_KIND["ARRAY"]:
            each.length = struct.unpack_from("<III", data, at)[2]
        elif kind == BTF_KIND["DATASEC"]:
            each.refers = [variable for variable, _, _ in items]
        at += BTF_EXTRA.get(kinds.get(kind, ""), 0) + BTF_ITEM.get(kinds.get(kind, ""), 0) * count
    return found


@dataclasses.dataclass
class Instruction:
    code: int
    registers: int
    offset: int
    immediate: int

    @property
    def kind(self) -> int:
        return self.code & 7

    @property
    def is_call(self) -> bool:
        return self.code == 0x85


@functools.cache
def instructions(path: pathlib.Path, section: str) -> list[Instruction]:
    return [Instruction(*fields) for fields in struct.iter_unpack("<BBhi", section_bytes(path, section))]


@functools.cache
def code_sections(path: pathlib.Path) -> set[str]:
    return set(re.findall(r"^\s*\d+ (\S+)\s+(?!0{8})\S+ \S+ TEXT", objdump("-h", str(path)), re.MULTILINE))


def helpers(path: pathlib.Path, section: str) -> set[int]:
    """By number. Calls of the object's own functions have the pseudo register 1."""
    return {each.immediate for each in instructions(path, section) if each.is_call and each.registers >> 4 == 0}


def layout_of(path: pathlib.Path) -> int | None:
    match = re.search(r"_objects_(\d+)\.o$", path.name)
    return int(match.group(1)) if match else None


ALL = sorted(FOLDER.glob("*.o"))
GHOST = [path for path in ALL if layout_of(path) is not None]
STOCK = [path for path in ALL if path.name.endswith("_objects_usermode.o")]
AGENTS = sorted({path.name.split("_objects_")[0] for path in (*GHOST, *STOCK)})


class Objects(unittest.TestCase):
    def test_every_agent_has_an_object_for_each_layout(self) -> None:
        self.assertIn("biff", AGENTS)
        for agent in AGENTS:
            for layout in (*LAYOUTS, "usermode"):
                self.assertIn(f"{agent}_objects_{layout}.o", {path.name for path in ALL})

    def test_programs_stand_in_sections_that_the_loader_knows(self) -> None:
        for path in GHOST + STOCK:
            with self.subTest(object=path.name):
                programs = code_sections(path) - {".text"}
                self.assertTrue(programs)
                self.assertLessEqual(programs, SECTIONS)

    def test_ghost_helpers_are_those_of_all_the_layouts_versions(self) -> None:
        for path in GHOST:
            with self.subTest(object=path.name):
                layout = layout_of(path)
                for section in code_sections(path):
                    for helper in helpers(path, section):
                        if helper < 3000:
                            continue
                        first, last = GHOST_HELPERS[helper]
                        self.assertTrue(first <= layout and LAST_VERSION[layout] <= last, helper)

    def test_messages_programs_do_not_latch(self) -> None:
        """run_gtid is refused to them: a lock is held there."""
        for path in GHOST:
            with self.subTest(object=path.name):
                for section in code_sections(path) - {"ghost_sched/pnt", ".text"}:
                    self.assertNotIn(RUN_GTID, helpers(path, section))

    def test_other_helpers_are_ordinary_ones(self) -> None:
        for path in GHOST + STOCK:
            with self.subTest(object=path.name):
                for section in code_sections(path):
                    ghost = {helper for helper in helpers(path, section) if helper >= 3000 and path in GHOST}
                    self.assertLessEqual(helpers(path, section) - ghost, ORDINARY)

    def test_contexts_and_payloads_are_the_layouts(self) -> None:
        for path in GHOST:
            with self.subTest(object=path.name):
                layout = layout_of(path)
                structs = {each.name: each for each in btf_types(path) if each.kind == BTF_KIND["STRUCT"]}
                if "ghost_msg/msg_send" in code_sections(path):
                    message, new = structs["bpf_ghost_msg"], structs["ghost_msg_payload_task_new"]
                    fields = ("type", "seqnum", "pref_cpu")
                    self.assertEqual((message.size, *map(message.members.get, fields)), MESSAGE[layout])
                    fields = ("runtime", "runnable", "nice", "sw_info", "parent_gtid", "agent_data")
                    self.assertEqual((new.size, *map(new.members.get, fields)), TASK_NEW[layout])
                schedule = structs["bpf_ghost_sched"]
                fields = ("dont_idle", "must_resched", "next_gtid")
                self.assertEqual((schedule.size, *map(schedule.members.get, fields)),
                                 (16, 3, 4 if layout >= 82 else None, 8))
                for name, (size, offsets) in OTHERS.items():
                    if name not in structs:
                        continue
                    self.assertEqual(structs[name].size, size, name)
                    self.assertEqual({key: structs[name].members.get(key) for key in offsets}, offsets, name)

    def test_relocations_are_maps_global_variables_and_own_functions(self) -> None:
        for path in GHOST + STOCK:
            with self.subTest(object=path.name):
                table = objdump("-t", str(path))
                undefined = re.findall(r"\*UND\*\s+\S+ (\S+)$", table, re.MULTILINE)
                self.assertEqual(undefined, [])
                defined = set(re.findall(r"^\S+ .{7} \S+\s+\S+ (\S+)$", table, re.MULTILINE))
                relocated = set()
                for block in objdump("-r", str(path)).split("RELOCATION RECORDS FOR ")[1:]:
                    if re.match(r"\[\.(?:rel)?(?:BTF|debug)", block) is None:
                        relocated |= set(re.findall(r"R_BPF_64_(?:64|32)\s+(\S+)$", block, re.MULTILINE))
                self.assertIn("ghost_locks" if path in GHOST else "ghost_effects", relocated)
                self.assertLessEqual({re.sub(r"[+-]0x[0-9a-f]+$", "", name) for name in relocated}, defined)

    def test_globals_fit_into_a_map(self) -> None:
        """Linux 5.10 makes no array whose element has more than 4 MiB; 6.1 does."""
        for path in GHOST:
            with self.subTest(object=path.name):
                sizes = re.findall(r"^\s*\d+ \.(?:bss|data|rodata)\S*\s+([0-9a-f]{8}) ", objdump("-h", str(path)),
                                   re.MULTILINE)
                self.assertTrue(sizes)
                for size in sizes:
                    self.assertLessEqual(int(size, 16), 4 << 20)

    def test_instructions_are_those_of_5_11(self) -> None:
        """Atomics that give the old value, and, or, xor and exchange are 5.12's; only the addition is older."""
        for path in GHOST:
            with self.subTest(object=path.name):
                for section in code_sections(path):
                    pending = 0
                    for each in instructions(path, section):
                        if pending:
                            pending -= 1
                        elif each.code == 0x18:
                            pending = 1
                            self.assertIn(each.registers >> 4, (0, 1, 2), "a kind of constant")
                        elif each.kind in (1, 2, 3):
                            mode = each.code & 0xE0
                            self.assertIn(mode, (0x60, 0xC0), "neither memory nor atomic")
                            if mode == 0xC0:
                                self.assertEqual((each.kind, each.immediate), (3, 0), "an atomic of 5.12")
                                self.assertIn(each.code & 0x18, (0x00, 0x18), "of 1 or 2 bytes")
                        elif each.kind in (4, 7):
                            self.assertLessEqual(each.code & 0xF0, 0xD0)
                            self.assertTrue(each.offset == 0, "signed division or sign extension of 6.6")
                        elif each.kind == 6:
                            self.assertNotIn(each.code & 0xF0, (0x00, 0xE0, 0x80, 0x90), "a long jump of 6.6")
                        elif each.is_call:
                            self.assertIn(each.registers >> 4, (0, 1), "a call of a kernel function")

    def test_types_and_maps_are_those_of_5_11(self) -> None:
        for path in GHOST:
            with self.subTest(object=path.name):
                types = btf_types(path)
                self.assertLessEqual(max(each.kind for each in types), LAST_BTF_KIND)
                self.assertLessEqual({map_type for map_type, _ in maps(path)}, MAP_TYPES)
                for _, flags in maps(path):
                    self.assertEqual(flags & ~MAP_FLAGS, 0)

    def test_licence(self) -> None:
        for path in ALL:
            with self.subTest(object=path.name):
                self.assertEqual(section_bytes(path, "license"), b"GPL\0")


def maps(path: pathlib.Path) -> list[tuple[int, int]]:
    """Type and flags of each map of .maps: numbers N are there as the lengths of `int (*field)[N]`."""
    types = btf_types(path)

    def number(definition: BtfType, field: str) -> int:
        if field not in definition.member_types:
            return 0
        return types[types[definition.member_types[field]].refers[0]].length

    section = next(each for each in types if each.kind == BTF_KIND["DATASEC"] and each.name == ".maps")
    definitions = [types[types[variable].refers[0]] for variable in section.refers]
    return [(number(definition, "type"), number(definition, "map_flags")) for definition in definitions]


if __name__ == "__main__":
    unittest.main()

"""The BPF objects for ghost kernels, by sections, helpers and relocations: they can't be loaded on a stock kernel."""
import pathlib
import re
import subprocess
import unittest

LAYOUTS = (69, 75, 77, 79, 82, 88, 91)
SECTIONS = {"ghost_sched/pnt", "ghost_msg/msg_send", "ghost_select_rq/select_rq"}
# Helpers of every kernel that programs may call: map look-up, update, delete, ktime_get_ns, the processor's id, spin
# locks.
ORDINARY = {1, 2, 3, 5, 8, 93, 94}
# Where a ghost kernel keeps type and seqnum of a message (abi/abi_version.h): 40 and 44 until 87, 48 and 52 from 88.
TYPE_OFFSET = {layout: 48 if layout >= 88 else 40 for layout in LAYOUTS}


def objdump(*arguments: str) -> str:
    return subprocess.run(["llvm-objdump-14", *arguments], check=True, capture_output=True, text=True).stdout


def object_of(layout: object) -> str:
    return str(pathlib.Path("third_party/bpf") / f"biff_objects_{layout}.o")


def sections(path: str) -> set[str]:
    names = re.findall(r"^\s*\d+ (\S+)", objdump("-h", path), re.MULTILINE)
    return {name for name in names if "/" in name and not name.startswith(".")}


def helpers(path: str) -> dict[str, set[int]]:
    """The helpers that each section calls, by number. (Calls of the object's own functions are -1 and relocated.)"""
    called: dict[str, set[int]] = {}
    section = ""
    for line in objdump("-d", "-r", "--no-show-raw-insn", path).splitlines():
        if match := re.match(r"Disassembly of section (\S+):", line):
            section = match.group(1)
            called[section] = set()
        elif match := re.search(r"\bcall (-?\d+)$", line):
            called[section].add(int(match.group(1)))
    for numbers in called.values():
        numbers.discard(-1)
    return called


def helpers_of_all(path: str) -> set[int]:
    return {number for numbers in helpers(path).values() for number in numbers if number >= 0}


class Objects(unittest.TestCase):
    def test_each_has_the_three_sections_and_no_other_program(self) -> None:
        for layout in (*LAYOUTS, "usermode"):
            with self.subTest(layout=layout):
                self.assertEqual(sections(object_of(layout)), SECTIONS)

    def test_helpers_are_those_of_the_layouts_versions(self) -> None:
        for layout in LAYOUTS:
            with self.subTest(layout=layout):
                ghost = {number for number in helpers_of_all(object_of(layout)) if number >= 3000}
                expected = {3001, 3003 if layout >= 79 else 3002}
                if layout >= 91:
                    expected.add(3005)
                self.assertEqual(ghost, expected)

    def test_a_stock_kernels_object_calls_no_ghost_helper(self) -> None:
        self.assertFalse({number for number in helpers_of_all(object_of("usermode")) if number >= 3000})

    def test_other_helpers_are_ordinary_ones(self) -> None:
        for layout in (*LAYOUTS, "usermode"):
            with self.subTest(layout=layout):
                others = {number for number in helpers_of_all(object_of(layout)) if number < 3000}
                self.assertLessEqual(others, ORDINARY)

    def test_messages_are_read_where_the_layout_has_them(self) -> None:
        for layout in LAYOUTS:
            with self.subTest(layout=layout):
                text = objdump("-d", "--no-show-raw-insn", "-j", "ghost_msg/msg_send", object_of(layout))
                self.assertRegex(text, rf"\*\(u16 \*\)\(r\d \+ {TYPE_OFFSET[layout]}\)")
                self.assertRegex(text, rf"\*\(u32 \*\)\(r\d \+ {TYPE_OFFSET[layout] + 4}\)")

    def test_relocations_are_maps_globals_and_own_functions(self) -> None:
        for layout in LAYOUTS:
            with self.subTest(layout=layout):
                symbols = set(re.findall(r"R_BPF_64_64\s+(\S+)", objdump("-r", object_of(layout))))
                self.assertLessEqual(symbols, {"biff", "slots", "ghost_locks"})
                self.assertTrue({"biff", "slots", "ghost_locks"} <= symbols)

    def test_licence(self) -> None:
        for layout in (*LAYOUTS, "usermode"):
            self.assertIn("47504c00", objdump("-s", "-j", "license", object_of(layout)).replace(" ", ""))


if __name__ == "__main__":
    unittest.main()

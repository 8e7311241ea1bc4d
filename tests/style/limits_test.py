"""Files of at most 500 lines, functions of at most 70, lines of at most 120 columns.

And no path that only one machine has, and no note of what somebody will do later.
"""
import os
import re
import unittest

from tests.style import source_tree

MAX_FILE_LINES = 500
# The ABI is one document.
MAX_FUNCTION_LINES = 70
MAX_COLUMNS = 120

# A function's first line (at no indentation, or in a class at two), up to its brace; not a type's or a namespace's.
FUNCTION = re.compile(r"^(?: {2})?(?! )[^#/].*\)[^;]*\{$")
NOT_A_FUNCTION = re.compile(r"^\s*(?:class|struct|enum|union|namespace|extern|if|for|while|switch|else|do)\b")
# In pieces, so that this file has none of them.
BANNED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b|(?<![\w/.])/(?:work|home|root)/")


def long_functions(path, lines):
    start = None
    for number, line in enumerate(lines, 1):
        if start is None and FUNCTION.match(line) and not NOT_A_FUNCTION.match(line):
            start = number
            end = re.match(r"^ *", line).group() + "}"
        elif start is not None and line.startswith(end):
            if number - start + 1 > MAX_FUNCTION_LINES:
                yield "%s:%d: a function of %d lines" % (path, start, number - start + 1)
            start = None


def complaints(top):
    found = []
    for path in source_tree.files(top, ".h", ".cc", ".c", ".py", ".sh", ".bzl", "BUILD"):
        with open(os.path.join(top, path), errors="replace") as text:
            lines = text.read().splitlines()
        if len(lines) > MAX_FILE_LINES:
            found.append("%s: %d lines" % (path, len(lines)))
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_COLUMNS:
                found.append("%s:%d: %d columns" % (path, number, len(line)))
            if BANNED.search(line):
                found.append("%s:%d: %s" % (path, number, line.strip()))
        if path.endswith((".h", ".cc", ".c")):
            found += long_functions(path, lines)
    return found


class LimitsTest(unittest.TestCase):
    def check(self, path, text, expected):
        with source_tree.Sample({path: text}) as top:
            self.assertEqual(complaints(top), expected)

    def test_long_file(self):
        self.check("a.cc", "//\n" * 500, [])
        self.check("a.cc", "//\n" * 501, ["a.cc: 501 lines"])

    def test_long_function(self):
        self.check("a.cc", "void F() {\n" + "  G();\n" * 68 + "}\n", [])
        self.check("a.cc", "void F() {\n" + "  G();\n" * 69 + "}\n", ["a.cc:1: a function of 71 lines"])
        method = "class C {\n  int F() const {\n" + "    G();\n" * 69 + "  }\n};\n"
        self.check("a.h", method, ["a.h:2: a function of 71 lines"])
        self.check("a.h", "class C {\n" + "  int x;\n" * 100 + "};\n", [])

    def test_long_line(self):
        self.check("a.py", "#" * 120 + "\n", [])
        self.check("a.py", "#" * 121 + "\n", ["a.py:1: 121 columns"])

    def test_banned_text(self):
        for line in ("// TO" "DO: later", 'open("/wo' 'rk/x")', "cd /ho" "me/me"):
            self.check("a.sh", line + "\n", ["a.sh:1: " + line])
        self.check("a.cc", "// the TODOS of /sys/wo" "rk/x\n", [])

    def test_this_workspace(self):
        found = complaints(source_tree.root())
        self.assertFalse(found, "\n" + "\n".join(found))


if __name__ == "__main__":
    unittest.main()

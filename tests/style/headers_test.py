"""Every header compiles alone, because it includes what it uses, and may be included twice.

A header that stands first in a .cc file has been compiled alone there; only the others are compiled here.
"""
import concurrent.futures
import os
import re
import subprocess
import unittest

from tests.style import source_tree

# Headers of BPF programs are C for clang -target bpf; *.inc.h are pieces of one other header.
EXCEPTIONS = ("third_party/bpf/", "tests/flux_example/source/")
FRAGMENT = ".inc.h"

INCLUDE = re.compile(r'^#include ["<]([^">]+)[">]', re.MULTILINE)
GUARD = re.compile(r"^#ifndef (\w+)\n#define \1\n", re.MULTILINE)


def read(top, path):
    with open(os.path.join(top, path), errors="replace") as text:
        return text.read()


def first_includes(top):
    """The files that a .cc file includes before anything else."""
    found = set()
    for path in source_tree.files(top, ".cc"):
        match = INCLUDE.search(read(top, path))
        if match:
            found.add(match.group(1))
    return found


def compiler_error(top, path):
    """The compiler's first error for a file that includes nothing but this header, or ''."""
    # Generated headers are in Bazel's output, if they have been built.
    result = subprocess.run(
        ["g++", "-std=c++20", "-fsyntax-only", "-Wall", "-I", top, "-I", os.path.join(source_tree.root(), "bazel-bin"),
         "-x", "c++", "-"],
        input='#include "%s"\n' % path, stderr=subprocess.PIPE, text=True)
    if result.returncode == 0:
        return ""
    errors = [line for line in result.stderr.splitlines() if "error" in line]
    return errors[0] if errors else result.stderr


def failures(top):
    headers = [path for path in source_tree.files(top, ".h")
               if not path.startswith(EXCEPTIONS) and not path.endswith(FRAGMENT)]
    found = {path: "has no include guard" for path in headers if not GUARD.search(read(top, path))}
    compiled = first_includes(top)
    rest = [path for path in headers if path not in compiled]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        errors = pool.map(lambda path: compiler_error(top, path), rest)
    found.update({path: error for path, error in zip(rest, errors) if error})
    return found


class HeadersTest(unittest.TestCase):
    def test_finds_a_header_that_needs_another(self):
        guard = "#ifndef G_\n#define G_\n%s\n#endif\n"
        with source_tree.Sample({
                "lib/good.h": guard % "#include <string>\nstd::string A();",
                "lib/needy.h": guard % "std::string B();",
                "lib/second.h": guard % "std::string C();",
                "lib/second.cc": '#include <string>\n\n#include "lib/second.h"\n',
                "lib/unguarded.h": "struct S {};\n"}) as top:
            self.assertEqual(sorted(failures(top)), ["lib/needy.h", "lib/second.h", "lib/unguarded.h"])

    def test_first_include_of_a_source_file(self):
        with source_tree.Sample({"lib/a.cc": '// Text.\n#include "lib/a.h"\n\n#include <string>\n'}) as top:
            self.assertEqual(first_includes(top), {"lib/a.h"})

    def test_every_header_compiles_alone(self):
        found = failures(source_tree.root())
        self.assertFalse(found, "\n" + "\n".join("%s: %s" % item for item in sorted(found.items())))


if __name__ == "__main__":
    unittest.main()

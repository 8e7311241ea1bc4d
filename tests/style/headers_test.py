"""Every header compiles alone: it includes what it uses."""
import concurrent.futures
import os
import subprocess
import unittest

from tests.style import source_tree

# Headers of BPF programs are C for clang -target bpf.
EXCEPTIONS = ("third_party/bpf/",)


def compiler_error(top, path):
    """The compiler's first error for a file that includes nothing but this header, or ''."""
    # Generated headers are in Bazel's output, if they have been built.
    result = subprocess.run(
        ["g++", "-std=c++20", "-fsyntax-only", "-Wall", "-I", top, "-I", os.path.join(source_tree.root(), "bazel-bin"),
         "-x", "c++", "-"],
        input='#include "%s"\n#include "%s"\n' % (path, path), stderr=subprocess.PIPE, text=True)
    if result.returncode == 0:
        return ""
    errors = [line for line in result.stderr.splitlines() if "error" in line]
    return errors[0] if errors else result.stderr


def failures(top):
    headers = [path for path in source_tree.files(top, ".h") if not path.startswith(EXCEPTIONS)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        errors = pool.map(lambda path: compiler_error(top, path), headers)
    return {path: error for path, error in zip(headers, errors) if error}


class HeadersTest(unittest.TestCase):
    def test_finds_a_header_that_needs_another(self):
        good = "#ifndef G_\n#define G_\n#include <string>\nstd::string A();\n#endif\n"
        needy = "#ifndef B_\n#define B_\nstd::string B();\n#endif\n"
        unguarded = "struct S {};\n"
        with source_tree.Sample({"lib/good.h": good, "lib/needy.h": needy, "lib/unguarded.h": unguarded}) as top:
            self.assertEqual(sorted(failures(top)), ["lib/needy.h", "lib/unguarded.h"])

    def test_every_header_compiles_alone(self):
        found = failures(source_tree.root())
        self.assertFalse(found, "\n" + "\n".join("%s: %s" % item for item in found.items()))


if __name__ == "__main__":
    unittest.main()

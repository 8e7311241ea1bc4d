"""Every C and C++ file is formatted as .clang-format says."""
import os
import shutil
import subprocess
import unittest

from tests.style import source_tree

FORMATTER = "clang-format-14"


def misformatted(top, paths):
    """Returns clang-format's complaints, one a place, with paths relative to `top`."""
    # --style=file: the nearest .clang-format above each file.
    result = subprocess.run([FORMATTER, "--dry-run", "--style=file", *paths],
                            cwd=top, stderr=subprocess.PIPE, text=True, check=True)
    return [line for line in result.stderr.splitlines() if "warning:" in line or "error:" in line]


class FormatTest(unittest.TestCase):
    def test_finds_a_misformatted_file(self):
        good = "int main() { return 0; }\n"
        bad = "int main(){return 0 ;}\n"
        with open(os.path.join(source_tree.root(), ".clang-format")) as text:
            style = text.read()
        with source_tree.Sample({".clang-format": style, "good.cc": good, "lib/bad.cc": bad}) as top:
            complaints = misformatted(top, source_tree.sources(top))
        self.assertTrue(complaints)
        self.assertTrue(all(line.startswith("lib/bad.cc:") for line in complaints), complaints)

    def test_all_files_are_formatted(self):
        self.assertTrue(shutil.which(FORMATTER), "no %s: run util/setup.sh" % FORMATTER)
        top = source_tree.root()
        complaints = misformatted(top, source_tree.sources(top))
        self.assertFalse(complaints, "run: %s -i FILE\n%s" % (FORMATTER, "\n".join(complaints)))


if __name__ == "__main__":
    unittest.main()

"""The documents say what is so: code that they show is the files' own, links lead somewhere, the tutorial is whole."""
import os
import re
import unittest

from tests.style import source_tree

TUTORIAL = "docs/write-a-policy.md"
EXAMPLE = "schedulers/examples/weighted_rr/weighted_rr_policy.h"
MOST_LINES_OF_EXAMPLE = 60

# A line that is a path in backquotes alone, then a block: the block is a part of that file.
SHOWN = re.compile(r"^`([\w./-]+)`\n\n```[\w+]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A row of README's table of policies: its name, its folder, …, how many lines.
POLICY_ROW = re.compile(r"^\| \[`(\w+)`\]\((schedulers/[\w/]+)\) \|.*\| (\d+) \|[^|]*\|$", re.MULTILINE)
# A line of the table that ghostctl has of them.
POLICY_NAME = re.compile(r'^    \{"(\w+)", "\w*", "\w+",', re.MULTILINE)
CODE = re.compile(r"^[ \t]*(?!//)[^\s].*$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def documents(top):
    return ["README.md"] + [path for path in source_tree.files(top, ".md") if path.startswith("docs/")]


def read(top, path):
    with open(os.path.join(top, path)) as file:
        return file.read()


def wrong_blocks(top, document):
    """Blocks of a document that are not in their file, or not in the order in which they stand there."""
    found, last = [], {}
    for path, block in SHOWN.findall(read(top, document)):
        if not os.path.isfile(os.path.join(top, path)):
            found.append(f"{document}: {path} does not exist")
            continue
        at = read(top, path).find(block, last.get(path, 0))
        if at < 0:
            found.append(f"{document}: not in {path} (after what was shown of it before):\n{block}")
        else:
            last[path] = at + len(block)
    return found


def not_shown(top, document, path):
    """The lines of a file that no block of a document shows, but for empty ones."""
    text = read(top, path)
    for shown, block in SHOWN.findall(read(top, document)):
        if shown == path:
            text = text.replace(block, "\n", 1)
    return [line for line in text.split("\n") if line]


def broken_links(top, document):
    folder = os.path.dirname(document)
    targets = [target for target in LINK.findall(read(top, document)) if "://" not in target]
    return [f"{document}: {target} does not exist" for target in targets
            if not os.path.exists(os.path.join(top, folder, target))]


def lines_of(top, folder):
    """Lines of code of a folder, without tests and benchmarks, comments and empty lines, rounded up to tens."""
    names = [name for name in os.listdir(os.path.join(top, folder)) if name.endswith((".h", ".cc"))]
    sources = [name for name in names if not re.search(r"_(test|test_base|benchmark)\.", name)]
    count = sum(len(CODE.findall(read(top, os.path.join(folder, name)))) for name in sources)
    return -(-count // 10) * 10


class DocsTest(unittest.TestCase):

    def test_code_is_the_files_own(self):
        top = source_tree.root()
        found = [wrong for document in documents(top) for wrong in wrong_blocks(top, document)]
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_links_lead_somewhere(self):
        top = source_tree.root()
        found = [broken for document in documents(top) for broken in broken_links(top, document)]
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_the_tutorial_shows_all_of_its_policy(self):
        top = source_tree.root()
        self.assertIn(EXAMPLE, [path for path, _ in SHOWN.findall(read(top, TUTORIAL))])
        self.assertEqual(not_shown(top, TUTORIAL, EXAMPLE), [])
        self.assertLessEqual(len(read(top, EXAMPLE).splitlines()), MOST_LINES_OF_EXAMPLE)

    def test_policies_have_about_as_many_lines_as_the_readme_says(self):
        top = source_tree.root()
        for name, folder, lines in POLICY_ROW.findall(read(top, "README.md")):
            count = lines_of(top, folder)
            self.assertLessEqual(abs(int(lines) - count), max(10, count / 10), f"README.md: {name} has {count} lines")

    def test_the_readme_has_all_policies(self):
        top = source_tree.root()
        names = POLICY_NAME.findall(read(top, "util/ctl/policies.cc"))
        self.assertTrue(names)
        self.assertEqual(sorted(name for name, _, _ in POLICY_ROW.findall(read(top, "README.md"))), sorted(names))

    def test_lines_are_those_without_tests(self):
        files = {"s/p.h": "a\n" * 8, "s/p.cc": "  a  // b\n" * 3 + "  // a\n\n" * 9, "s/BUILD": "a\n" * 90,
                 "s/p_test.cc": "a\n" * 90, "s/p_benchmark.cc": "a\n" * 90}
        with source_tree.Sample(files) as top:
            self.assertEqual(lines_of(top, "s"), 20)

    def test_the_checks_can_fail(self):
        document = "\n\n".join(["`a.h`\n\n```c++\none\n```", "`a.h`\n\n```c++\nthree\n```", "`a.h`\n\n```\none\n```",
                                "`b.h`\n\n```\nx\n```", "[x](a.h) [y](none.md#z) [z](https://example.org/none)\n"])
        with source_tree.Sample({"docs/d.md": document, "a.h": "one\ntwo\nthree\n", "docs/a.h": ""}) as top:
            wrong = wrong_blocks(top, "docs/d.md")
            self.assertEqual(len(wrong), 2)
            self.assertIn("not in a.h (after", wrong[0])  # shown again, after what follows it
            self.assertIn("b.h does not exist", wrong[1])
            self.assertEqual(not_shown(top, "docs/d.md", "a.h"), ["two"])
            self.assertEqual(broken_links(top, "docs/d.md"), ["docs/d.md: none.md does not exist"])


if __name__ == "__main__":
    unittest.main()

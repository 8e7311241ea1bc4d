"""The workspace's own source files, for the style tests."""
import os
import tempfile

# Directories that are not ours: other people's code, outputs, tools' droppings.
SKIPPED = {"build", "node_modules", "__pycache__"}


def root():
    """The workspace: where the WORKSPACE file, which is data of every style test, really stands."""
    return os.path.dirname(os.path.realpath("WORKSPACE"))


def files(top, *suffixes):
    """Yields the paths, relative to `top`, of the files whose names end with one of `suffixes`, sorted."""
    for directory, names, file_names in os.walk(top):
        names[:] = sorted(n for n in names if n not in SKIPPED and not n.startswith((".", "bazel-")))
        for name in sorted(file_names):
            if name.endswith(suffixes):
                yield os.path.relpath(os.path.join(directory, name), top)


def sources(top):
    """The C and C++ files."""
    return list(files(top, ".h", ".cc", ".c"))


class Sample:
    """A small tree of files, to show that a check finds what it looks for."""

    def __init__(self, contents):
        self.directory = tempfile.TemporaryDirectory()
        for path, text in contents.items():
            full = os.path.join(self.directory.name, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w") as out:
                out.write(text)

    def __enter__(self):
        return self.directory.name

    def __exit__(self, *unused):
        self.directory.cleanup()

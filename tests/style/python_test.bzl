"""python_test(): unittest files as tests.

Bazel's own py_test starts `python`, which Debian does not have, and reports a whole file as one case.
"""

def python_test(name, src, data = [], size = "small", **kwargs):
    """A test that runs the unittest cases of a file.

    Args:
      name: the target.
      src: the file.
      data: the modules that it imports (by their paths from the root) and files that it reads.
      size: as for any test.
      **kwargs: passed on to the sh_test.
    """
    native.sh_test(
        name = name,
        size = size,
        srcs = ["//tests/style:python_test.py"],
        args = ["$(location %s)" % src],
        data = [src] + data,
        **kwargs
    )

"""unit_test: a googletest beside the code that it tests."""

load("@rules_cc//cc:defs.bzl", "cc_test")

def unit_test(name, deps, **kwargs):
    """Defines the test NAME over NAME.cc, with googletest's main.

    Args:
      name: the target; its source is name + ".cc".
      deps: what it needs besides googletest.
      **kwargs: passed on to cc_test.
    """
    cc_test(
        name = name,
        size = kwargs.pop("size", "small"),
        srcs = [name + ".cc"],
        deps = deps + ["@com_google_googletest//:gtest_main"],
        **kwargs
    )

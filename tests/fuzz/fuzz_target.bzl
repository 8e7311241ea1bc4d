"""fuzz_target: a libFuzzer target, and the test that replays its corpus."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

def fuzz_target(name, deps, tags = [], **kwargs):
    """Defines the fuzzer NAME (with --config=fuzz only) and the test NAME_replay_test, over NAME.cc.

    Args:
      name: the target. Its inputs are corpus/NAME/*.
      deps: what NAME.cc needs.
      tags: of the test.
      **kwargs: passed on to the test.
    """
    cc_library(
        name = name + "_target",
        testonly = True,
        srcs = [name + ".cc"],
        deps = deps + [":fuzz_input"],
        alwayslink = True,
    )
    cc_binary(
        name = name,
        testonly = True,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],  # it links with clang only
        deps = [":" + name + "_target"],
    )
    cc_test(
        name = name + "_replay_test",
        size = "small",
        srcs = ["replay_test.cc"],
        data = native.glob(["corpus/%s/*" % name]),
        env = {"CORPUS": "tests/fuzz/corpus/" + name},
        tags = tags,
        deps = [
            ":" + name + "_target",
            "@com_google_googletest//:gtest_main",
        ],
        **kwargs
    )

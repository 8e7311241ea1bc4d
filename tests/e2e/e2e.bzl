"""e2e_test: a script that runs real threads over a ghostd of its own."""

# Agents that schedule in BPF: what each of them has to pass is run for all (also in tests/hostile).
BPF_AGENTS = [
    "agent_biff",
    "agent_cfs_bpf",
    "agent_flux",
]

def e2e_test(name, data, script = None, size = "medium", **kwargs):
    """Defines the test NAME: as root, outside the sandbox, alone.

    Args:
      name: the target.
      data: the programs and files that the script uses, besides tests/e2e's env.sh and lib.sh.
      script: the script; name + ".sh" if it is not given.
      size: as sh_test's.
      **kwargs: passed on to sh_test, such as env.
    """
    native.sh_test(
        name = name,
        size = size,
        srcs = [script or name + ".sh"],
        data = data + [
            "//tests/e2e:env.sh",
            "//tests/e2e:lib",
        ],
        tags = [
            "e2e",
            "exclusive",
            "no-sandbox",
        ],
        **kwargs
    )

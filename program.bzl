"""program(): a binary of another folder under its plain name in the root.

`bazel build -c opt fifo_per_cpu_agent` and `bazel-bin/fifo_per_cpu_agent` are what every guide says; an alias would
give the first but not the file.
"""

def _program_impl(ctx):
    link = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = link, target_file = ctx.executable.binary, is_executable = True)
    return [DefaultInfo(
        executable = link,
        files = depset([link]),
        runfiles = ctx.attr.binary[DefaultInfo].default_runfiles,
    )]

program = rule(
    implementation = _program_impl,
    attrs = {
        "binary": attr.label(
            mandatory = True,
            executable = True,
            cfg = "target",
        ),
    },
    executable = True,
)

"""What the scripts say when something is wrong: one line, a hint, and an exit code as every program here has them."""
import sys

OK, FAILED, USAGE, NO_KERNEL, PERMISSION, BUSY = range(6)


class ExperimentError(Exception):
    """Something that the user can read and mend: `program: what` and `hint: …`."""

    def __init__(self, what: str, hint: str = "", code: int = FAILED):
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.code = code


def report(program: str, error: ExperimentError) -> int:
    """Says it on stderr; returns the exit code."""
    print(f"{program}: {error.what}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return error.code

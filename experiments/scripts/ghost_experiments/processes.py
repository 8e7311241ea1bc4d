"""The programs of a run: started so that none outlives its script, watched, and stopped gently, then hard.

One thread waits for all of them: for what they say and for their end. Nothing here sleeps for a fixed time.
"""
import ctypes
import dataclasses
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from . import procfs
from .errors import BUSY, FAILED, NO_KERNEL, PERMISSION, ExperimentError

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_END_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_KEPT = 1 << 20         # bytes of a stream that are kept
_TICK_S = 0.5           # how often `tick` is called while nothing happens
GENTLE_S = 20.0         # what a program may take to end after SIGINT


class Interrupted(BaseException):
    """A signal that asks the script to end."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def raise_on_signals() -> None:
    """SIGINT, SIGTERM and SIGHUP end the script in an orderly way; a second one at once (its guardian tidies up)."""
    def handler(number: int, _frame: object) -> None:
        for other in _END_SIGNALS:
            signal.signal(other, lambda again, _: os._exit(128 + again))
        raise Interrupted(number)
    for number in _END_SIGNALS:
        signal.signal(number, handler)


class PartFailed(ExperimentError):
    """A program of the run ended, or did not get ready."""

    @staticmethod
    def ended(child: "Child") -> "PartFailed":
        """With its exit code, where that says what is wrong: no kernel, no permission, busy."""
        code = child.process.returncode
        return PartFailed(child.how_it_ended(), child.hint(), code if code in (NO_KERNEL, PERMISSION, BUSY) else FAILED)


@dataclasses.dataclass
class Child:
    name: str
    process: subprocess.Popen[bytes]
    pidfd: int
    output: dict[str, bytes] = dataclasses.field(default_factory=lambda: {"stdout": b"", "stderr": b""})
    ended: bool = False

    def says(self, text: str) -> bool:
        return any(text.encode() in stream for stream in self.output.values())

    @property
    def stdout(self) -> str:
        return self.output["stdout"].decode(errors="replace")

    def last_words(self) -> str:
        lines = [line for line in self._errors() if not line.endswith(": ready") and not line.startswith("hint: ")]
        return " / ".join(lines[-3:])

    def hint(self) -> str:
        """The last that it gave."""
        hints = [line.removeprefix("hint: ") for line in self._errors() if line.startswith("hint: ")]
        return hints[-1] if hints else ""

    def _errors(self) -> list[str]:
        return self.output["stderr"].decode(errors="replace").strip().splitlines()

    def how_it_ended(self) -> str:
        code = self.process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        words = self.last_words()
        return f"{self.name} {how}" + (f": {words}" if words else "")


class Processes:
    """All that a run has started. `run_id` marks them, see procfs.py."""

    def __init__(self, run_id: str):
        self.run_id = run_id
        self.children: list[Child] = []
        self._selector = selectors.DefaultSelector()

    def start(self, name: str, command: Sequence[str], *, nice: int | None = None, cpus: Sequence[int] = (),
              cgroup: str | None = None, death_signal: int = signal.SIGKILL,
              environment: dict[str, str] | None = None) -> Child:
        """In a session of its own. `death_signal` is what it gets when the script dies."""
        parent = os.getpid()

        def in_child() -> None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            if cgroup is not None:
                with open(os.path.join(cgroup, "cgroup.procs"), "w", encoding="ascii") as file:
                    file.write("0")
            if nice is not None:
                os.setpriority(os.PRIO_PROCESS, 0, nice)
            if cpus:
                os.sched_setaffinity(0, cpus)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _END_SIGNALS)

        variables = {**os.environ, **(environment or {}),
                     procfs.RUN_VARIABLE: self.run_id, procfs.ROLE_VARIABLE: name}
        # A signal in the middle would leave a child of which nobody knows.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _END_SIGNALS)
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, env=variables, start_new_session=True,
                                       preexec_fn=in_child)  # pylint: disable=subprocess-popen-preexec-fn
            child = Child(name, process, os.pidfd_open(process.pid))
            self._watch(child)
        except (OSError, subprocess.SubprocessError) as error:
            raise PartFailed(f"{name} does not start: {error}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return child

    def _watch(self, child: Child) -> None:
        for key, stream in (("stdout", child.process.stdout), ("stderr", child.process.stderr)):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream.fileno(), selectors.EVENT_READ, (child, key))
        self._selector.register(child.pidfd, selectors.EVENT_READ, (child, "end"))
        self.children.append(child)

    def _handle(self, child: Child, what: str, descriptor: int) -> None:
        if what == "end":
            self._selector.unregister(descriptor)
            os.close(descriptor)
            child.process.wait()
            child.ended = True
            self._drain(child)
            return
        data = os.read(descriptor, 1 << 16)
        if data:
            child.output[what] = (child.output[what] + data)[-_KEPT:]
        else:
            self._selector.unregister(descriptor)

    def _drain(self, child: Child) -> None:
        """What it had written when it ended."""
        for key, stream in (("stdout", child.process.stdout), ("stderr", child.process.stderr)):
            assert stream is not None
            try:
                while data := os.read(stream.fileno(), 1 << 16):
                    child.output[key] = (child.output[key] + data)[-_KEPT:]
            except BlockingIOError:
                pass  # a child of its own has it still
            if stream.fileno() in self._selector.get_map():
                self._selector.unregister(stream.fileno())
            stream.close()

    def wait(self, condition: Callable[[], bool], seconds: float, tick: Callable[[], None] = lambda: None) -> bool:
        """Until `condition`, which is asked again whenever a program has said something or ended."""
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, _ in self._selector.select(min(left, _TICK_S)):
                child, what = key.data
                if key.fd in self._selector.get_map():
                    self._handle(child, what, key.fd)
            tick()
        return True

    def expect(self, child: Child, text: str, seconds: float, alive: Sequence[Child] = ()) -> None:
        """Until it says so. PartFailed if it, or one of `alive`, ends before, or time is up."""
        def over() -> bool:
            return child.says(text) or child.ended or any(other.ended for other in alive)
        if not self.wait(over, seconds):
            raise PartFailed(f"{child.name} is not ready after {seconds:g} s: "
                             + (child.last_words() or "it says nothing"))
        self.check(alive)
        if not child.says(text):
            raise PartFailed.ended(child)

    def expect_end(self, child: Child, seconds: float, alive: Sequence[Child] = (),
                   tick: Callable[[], None] = lambda: None) -> None:
        """Until it ends by itself, with exit code 0."""
        if not self.wait(lambda: child.ended or any(other.ended for other in alive), seconds, tick):
            raise PartFailed(f"{child.name} has not ended after {seconds:.0f} s")
        if child.ended and child.process.returncode != 0:
            raise PartFailed.ended(child)
        self.check(alive)

    @staticmethod
    def check(alive: Sequence[Child]) -> None:
        for child in alive:
            if child.ended:
                raise PartFailed.ended(child)

    def stop(self, child: Child, seconds: float = GENTLE_S) -> None:
        """SIGINT; SIGKILL if that does not help in time. It is gone when this returns."""
        for number, patience in ((signal.SIGINT, seconds), (signal.SIGKILL, seconds)):
            if not child.ended:
                child.process.send_signal(number)
                self.wait(lambda: child.ended, patience)
        if not child.ended:
            raise PartFailed(f"{child.name} (pid {child.process.pid}) does not end")
        self.children.remove(child)

    def stop_all(self) -> None:
        """Those that were started last end first: clients, then agents, then their kernel."""
        for child in reversed(list(self.children)):
            self.stop(child)

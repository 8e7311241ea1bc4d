"""How far a run is: a bar on a terminal, plain lines elsewhere."""
import sys
import time
from typing import TextIO

_WIDTH = 24


class Progress:
    """Counts points. tick() may be called often; it is cheap where there is no terminal."""

    def __init__(self, total: int, done: int = 0, stream: TextIO | None = None):
        self._stream = stream or sys.stdout
        self._tty = self._stream.isatty()
        self._total = total
        self._done = done
        self._what = ""
        self._started = time.monotonic()
        self._first = done

    def begin(self, what: str) -> None:
        self._what = what
        self.tick()

    def tick(self) -> None:
        if self._tty:
            self._stream.write("\r\x1b[K" + self.bar(time.monotonic() - self._started))
            self._stream.flush()

    def bar(self, elapsed_s: float) -> str:
        filled = _WIDTH * self._done // max(1, self._total)
        text = f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {self._done}/{self._total} {self._what}"
        run = self._done - self._first
        if run:
            left = elapsed_s / run * (self._total - self._done)
            text += f", about {left / 60:.0f} min left" if left >= 90 else f", about {left:.0f} s left"
        return text

    def end(self, result: str) -> None:
        """A point is done."""
        self._done += 1
        self.say(f"[{self._done}/{self._total}] {self._what}: {result}")

    def say(self, line: str) -> None:
        self._stream.write(("\r\x1b[K" if self._tty else "") + line + "\n")
        self._stream.flush()

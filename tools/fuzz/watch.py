"""What a reader does while it reads: which files it opens, what it starts, how long it takes, how much memory it fills."""

from __future__ import annotations

import os
import resource
import signal
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .trees import MARK

SECONDS = 5.0  # a reader that takes longer hangs
TICKS = 20  # signals in this time: counted rather than timed, so that a machine that pauses us makes no finding
MEGABYTES = 256  # that a reader may fill beyond what was ever filled before; the seeds take less than one
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "pickle.find_class")
PLACES = ("open", "os.mkdir", "os.remove", "os.rename", "os.symlink")  # what is told where it does it
OWN = tuple(  # what Python itself reads when something is imported late
    os.path.realpath(place)
    for place in {*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, str(Path(__file__).parents[2])}
)


class HangError(BaseException):
    """No `Exception`, so that no reader takes it for a damaged file."""


class Watch:
    """Hears of every file that Python opens (an audit hook, which stays for the life of the process)."""

    def __init__(self) -> None:
        self._folder: str | None = None
        self.faults: list[str] = []
        self.seconds = self.filled = 0.0
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple) -> None:
        if self._folder is None:
            return
        if event in STARTS:
            self.faults.append(f"started {event} {arguments!r:.200}")
        elif event in PLACES and isinstance(arguments[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not any(path == place or path.startswith(place + os.sep) for place in (self._folder, *OWN)):
                self.faults.append(f"{event} {path}")

    @contextmanager
    def over(self, folder: Path) -> Iterator[None]:
        """While a reader reads `folder`. Afterwards `faults` says what it did that it must not do."""
        self.faults = []
        before, started, ticks = _most_filled(), time.process_time(), 0

        def tick(number: int, frame: object) -> None:
            nonlocal ticks
            ticks += 1
            if ticks >= TICKS:
                raise HangError

        old = signal.signal(signal.SIGALRM, tick)
        signal.setitimer(signal.ITIMER_REAL, SECONDS / TICKS, SECONDS / TICKS)
        self._folder = os.path.realpath(folder)
        try:
            yield
        except HangError:
            pass  # its time says so below, also where somebody swallowed it
        finally:
            self._folder = None
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
            self.seconds = max(time.process_time() - started, ticks * SECONDS / TICKS)
            self.filled = _most_filled() - before
            if self.seconds >= SECONDS:
                self.faults.append(f"hung for {self.seconds:.1f} s")
            if self.filled > MEGABYTES:
                self.faults.append(f"filled {self.filled:.0f} MB")
            if os.path.exists(MARK):
                os.rmdir(MARK)
                self.faults.append("ran what the file told it to run")


def _most_filled() -> float:
    """The most memory that this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

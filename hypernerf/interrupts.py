"""Being told to stop, by Ctrl-C or SIGTERM: once, at the next moment that does no harm; twice, at once.

Both signals raise `KeyboardInterrupt` wherever the program is; whoever has something to save catches it. Work that must not be
left half done is put under `whole`. Python gives signals to its main thread alone: in other threads nothing here has an effect.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedAtOnce(KeyboardInterrupt):
    """The second signal came amid work that should have been whole: what that work changes is in no state to be kept."""


@dataclass
class Notice:
    """Whether a signal came. Those that follow the first within `repeats` seconds are the same one, which launchers hand on."""

    repeats: float = 0.0
    asked: bool = False
    at: float = 0.0  # of `time.monotonic`

    def note(self) -> None:
        self.asked, self.at = True, time.monotonic()

    @property
    def is_repeated(self) -> bool:
        """Whether a signal that comes now is the one that was noted."""
        return self.asked and time.monotonic() - self.at < self.repeats


@contextmanager
def stopping_on_signals(noted: Notice | None = None) -> Iterator[None]:
    """SIGTERM too raises `KeyboardInterrupt` until this is left; repetitions of what was `noted` do not."""

    def stop(number: int, frame: object) -> None:
        if noted is None or not noted.is_repeated:
            raise KeyboardInterrupt

    with _handled_by(stop):
        yield


@contextmanager
def noting(notice: Notice) -> Iterator[None]:
    """A first signal is noted and nothing else; a second raises `StoppedAtOnce`."""

    def note(number: int, frame: object) -> None:
        if not notice.asked:
            notice.note()
        elif not notice.is_repeated:
            raise StoppedAtOnce

    with _handled_by(note):
        yield


@contextmanager
def whole() -> Iterator[None]:
    """Work that a first signal lets end: `KeyboardInterrupt` comes after it. A second raises `StoppedAtOnce` amid it."""
    notice = Notice()
    with noting(notice):
        yield
    if notice.asked:
        raise KeyboardInterrupt


@contextmanager
def _handled_by(handler: Callable[[int, object], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old or signal.SIG_DFL)  # None: not set by Python

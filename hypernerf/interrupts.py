"""Being told to stop, by Ctrl-C or SIGTERM: once, at the next moment that does no harm; twice, at once.

Both signals raise `KeyboardInterrupt` wherever the program is; whoever has something to save catches it. Work that must not be
left half done is put under `whole`. Python gives signals to its main thread alone: in other threads nothing here has an effect.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedAtOnce(KeyboardInterrupt):
    """The second signal came amid work that should have been whole: what that work changes is in no state to be kept."""


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """SIGTERM too raises `KeyboardInterrupt` until this is left."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    with _handled_by(stop):
        yield


@contextmanager
def whole() -> Iterator[None]:
    """Work that a first signal lets end: `KeyboardInterrupt` comes after it. A second raises `StoppedAtOnce` amid it."""
    asked = False

    def note(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise StoppedAtOnce
        asked = True

    with _handled_by(note):
        yield
    if asked:
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

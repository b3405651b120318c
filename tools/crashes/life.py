"""One life of a training: a forked process that says what it takes up and what it saves, until it is killed."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from hypernerf.cli import fit
from hypernerf.training import Trainer, trainer


@dataclass(frozen=True)
class Event:
    """`digest` is of the whole state: the one taken up, or the one that was to be saved. Of failures, `text` is the last line."""

    kind: Literal["resumed", "saving", "saved", "invalid", "failed"]
    step: int = 0
    digest: str = ""
    text: str = ""


class Life:
    """Starts to train in `run`, or to go on there, at once. Forked, so that nothing is imported anew."""

    def __init__(self, config: Path, run: Path) -> None:
        self._reading, writing = os.pipe()
        self.started = time.perf_counter()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._reading)
            _live(config, run, writing)
        os.close(writing)
        self._rest = b""

    def events(self, until: float) -> Iterator[Event]:
        """What it says up to a moment of `time.perf_counter`, or until it is dead."""
        while (left := until - time.perf_counter()) > 0:
            ready, _, _ = select.select([self._reading], [], [], left)
            if ready:
                block = os.read(self._reading, 1 << 16)
                if not block:
                    return
                yield from self._parsed(block)

    def kill(self) -> list[Event]:
        """Ends it with SIGKILL, if it still lives; what it had said before and was not heard yet."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        events = []
        while block := os.read(self._reading, 1 << 16):
            events += self._parsed(block)
        os.close(self._reading)
        return events

    def _parsed(self, block: bytes) -> list[Event]:
        *lines, self._rest = (self._rest + block).split(b"\n")
        fields = [line.decode().split("\t") for line in lines]
        return [Event(kind, int(step), digest, text) for kind, step, digest, text in fields]  # type: ignore[arg-type]


def _live(config: Path, run: Path, descriptor: int) -> None:
    """The whole life; does not return."""

    def say(kind: str, step: int = 0, digest: str = "", text: str = "") -> None:
        os.write(descriptor, f"{kind}\t{step}\t{digest}\t{text}\n".encode())

    try:
        _listen_in(say)
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            fit.main([str(config), "--out", str(run), "--resume"])
        say("failed", text="it came to an end")
    except BaseException:
        with suppress(OSError):  # nobody listens any more
            say("failed", text=" ".join(traceback.format_exc().split())[-500:])
    finally:
        os._exit(1)


def _listen_in(say) -> None:
    """Lets the training of this process say what it takes up and saves."""
    save, write, resume = Trainer.save, trainer.save_checkpoint, Trainer.resume

    def saved(self: Trainer) -> None:
        save(self)
        say("saved", self.step, _digest_of(self))

    def saving(run: Path, step: int, *rest: Any) -> None:
        say("saving", step)
        write(run, step, *rest)

    def resumed(self: Trainer, checkpoint: Any) -> None:
        resume(self, checkpoint)
        say("resumed", self.step, _digest_of(self))

    Trainer.save, Trainer.resume, trainer.save_checkpoint = saved, resumed, saving  # type: ignore[method-assign, assignment]
    fit.warn = lambda text: say("invalid", text=text)


def _digest_of(self: Trainer) -> str:
    """Of all that later steps depend on, and nothing that depends on the clock."""
    total = hashlib.blake2b(digest_size=16)
    state = [self.step, self.validated, self.skipped_in_a_row, self.occupancy.values]
    _add([*state, self.model.state_dict(), self.average.state_dict(), self.optimizer.state_dict()], total)
    return total.hexdigest()


def _add(value: Any, total: Any) -> None:
    if isinstance(value, torch.Tensor):
        total.update(value.detach().contiguous().flatten().numpy().data)
    elif isinstance(value, dict):
        for key, inner in value.items():
            total.update(repr(key).encode())
            _add(inner, total)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _add(inner, total)
    else:
        total.update(repr(value).encode())

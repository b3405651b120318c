"""Training for a time, of which only the steps count, or for a number of steps."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress, TaskID, TextColumn

from hypernerf.cli.common import console, progress_bar
from hypernerf.files import write_atomically
from hypernerf.interrupts import StoppedAtOnce, stopping_on_signals, whole
from hypernerf.training.checkpoint import packed
from hypernerf.training.logs import append_metrics
from hypernerf.types import InputError

from .common import Moment, Peer

STATE = "state.pt"
SAVE_EVERY = 2.0  # minutes of training
RECENT = 50  # steps over which loss and time are averaged for a log line


@dataclass(frozen=True)
class Plan:
    """How one model is trained. `identity` (plain values) must be the same when a run is resumed."""

    folder: Path
    minutes: float | None
    steps: int | None  # in place of minutes
    validations: int  # evenly over the run, the last at its end
    seed: int
    identity: dict[str, Any]


@dataclass(frozen=True)
class Clock:
    """How far a training is."""

    step: int = 0
    minutes: float = 0.0

    def progress(self, plan: Plan) -> float:
        if plan.steps is not None:
            return self.step / plan.steps
        assert plan.minutes is not None
        return self.minutes / plan.minutes

    def validations(self, plan: Plan) -> int:
        """How many log lines are due by now."""
        return min(plan.validations, math.floor(self.progress(plan) * plan.validations + 1e-9))


def train(peer: Peer, plan: Plan, unseen: Callable[[], dict[str, float]]) -> tuple[Clock, bool]:
    """Trains to the end of the plan, from the saved state if there is one.

    Args:
        unseen: PSNR by number of context views on a few unseen scenes, for log lines.

    Returns:
        where it stands, and whether it reached the end (otherwise it was interrupted; its state is saved either way).
    """
    clock = _resume(peer, plan)
    saved, validated = clock.minutes, clock.validations(plan)
    recent: deque[tuple[float, float]] = deque(maxlen=RECENT)

    def summary() -> str:
        loss, seconds = (sum(values) / len(recent) for values in zip(*recent, strict=True))
        return f"step {clock.step}  loss {loss:.4f}  {1e3 * seconds:.0f} ms/step"

    def go_on(bar: Progress, task: TaskID) -> None:
        nonlocal clock, saved, validated
        while clock.progress(plan) < 1:
            with whole():
                clock, loss, seconds = _timed_step(peer, plan, clock)
            recent.append((loss, seconds))
            bar.update(task, completed=clock.progress(plan), text=summary())
            if clock.step % 20 == 0:
                append_metrics(plan.folder, {"kind": "train", "step": clock.step, "minutes": clock.minutes, "loss": loss})
            if clock.validations(plan) > validated:
                scores = unseen()
                validated = clock.validations(plan)
                shown = "  ".join(f"{count} views {value:.2f} dB" for count, value in scores.items())
                console.print(f"{clock.minutes:6.1f} min  {summary()}  | unseen: {shown}")
                entry = {"kind": "validation", "step": clock.step, "minutes": clock.minutes, "psnr": scores}
                append_metrics(plan.folder, entry)
            if clock.minutes - saved > SAVE_EVERY:
                _save(peer, plan, clock)
                saved = clock.minutes

    with stopping_on_signals():
        try:
            with progress_bar(TextColumn("{task.fields[text]}")) as bar:  # type: ignore[arg-type]
                go_on(bar, bar.add_task("train", total=1.0, text=""))
        except StoppedAtOnce:
            raise
        except KeyboardInterrupt:
            pass  # what follows is the same
        _save(peer, plan, clock)
    return clock, clock.progress(plan) >= 1


def _timed_step(peer: Peer, plan: Plan, clock: Clock) -> tuple[Clock, float, float]:
    """(the clock after one step, its loss, its seconds)."""
    moment = Moment(plan.seed, clock.step, clock.progress(plan))
    peer.model.train()
    start = time.perf_counter()
    moment.seed_global()
    loss = peer.step(moment)
    seconds = time.perf_counter() - start
    if not math.isfinite(loss):
        raise InputError(f"{plan.folder}: the loss of step {clock.step} is not finite: use a lower --learning-rate")
    return Clock(clock.step + 1, clock.minutes + seconds / 60), loss, seconds


def _save(peer: Peer, plan: Plan, clock: Clock) -> None:
    state = {
        "identity": plan.identity,
        "model": peer.model.state_dict(),
        "optimizer": peer.optimizer.state_dict(),
        "clock": (clock.step, clock.minutes),
    }
    write_atomically(plan.folder / STATE, lambda path: path.write_bytes(packed(state)))


def _resume(peer: Peer, plan: Plan) -> Clock:
    """Takes up the saved state, if there is one."""
    path = plan.folder / STATE
    if not path.exists():
        (plan.folder / "metrics.jsonl").unlink(missing_ok=True)
        return Clock()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a damaged file
        raise InputError(f"{path}: cannot be read ({type(error).__name__}): use another --out") from None
    if state["identity"] != plan.identity:
        changed = [key for key in plan.identity if state["identity"].get(key) != plan.identity[key]]
        raise InputError(f"{path}: was trained with other settings ({', '.join(changed)}): use another --out")
    peer.model.load_state_dict(state["model"])
    peer.optimizer.load_state_dict(state["optimizer"])
    clock = Clock(*state["clock"])
    console.print(f"resumed at step {clock.step}, {clock.minutes:.1f} minutes in")
    return clock

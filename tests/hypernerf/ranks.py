"""Trainings by several processes without torchrun: forked from a server that has imported everything once."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import socket
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from hypernerf.cli import common, fit
from hypernerf.training import Trainer

CONFIG = """
source: {name: procedural, train_scenes: 8, val_scenes: 1, test_scenes: 1, views: 5, size: 16}
encoder: {image: {image_size: 16, channels: [8, 16]}, set: {width: 16}, lift: {resolution: 4, channels: 4}}
hypernetwork: {latent: 16, width: 16, rank: 2}
field: {width: 16, depth: 2, position_frequencies: 2, plane_resolution: 4, plane_channels: 2, volume_resolution: 4}
refinement: {rays: 8, samples: 4, channels: 4}
train:
  {steps: 40, refine_from: 0.4, samples: 6, validations: 2, checkpoint_every: 13, occupancy_every: 5, device: cpu, threads: 1,
  max_skipped: 3, batch: {scenes: 6, rays: 16, swap_colors: true}}
evaluate: {context_views: [1], meshes: 0}
render: {samples: 4, grid: 8}
"""


@dataclass(frozen=True)
class Plan:
    """A call of fit_scenes, and what goes wrong at which step of which rank."""

    arguments: tuple[str, ...]
    stop: tuple[int, int] | None = None  # (rank, step): SIGTERM amid it
    spoiled: tuple[int, tuple[int, ...]] | None = None  # (rank, steps): its loss is not a number


@dataclass
class Outcome:
    """What one rank has lived through."""

    code: int = -1
    errors: str = ""
    # of each report: step, loss, PSNR, minutes, the scenes if it was skipped
    steps: list[tuple[int, float, float, float, tuple[str, ...]]] = field(default_factory=list)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)


def fit_in_ranks(count: int, plan: Plan, patience: float = 800.0) -> list[Outcome]:
    """Calls fit_scenes in `count` processes that know of each other; nothing is measured in the end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.hypernerf.ranks"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pairs = [context.Pipe(duplex=False) for _ in range(count)]
    ranks = [context.Process(target=_live, args=(r, count, port, plan, pairs[r][1])) for r in range(count)]
    for rank, (_, writing) in zip(ranks, pairs, strict=True):
        rank.start()
        writing.close()
    try:
        return [_received(reading, patience) for reading, _ in pairs]
    finally:
        for rank in ranks:
            rank.join(5)
            rank.kill()


def _received(reading: Connection, patience: float) -> Outcome:
    if not reading.poll(patience):
        raise TimeoutError("a rank has nothing to say")
    return reading.recv()


def _live(rank: int, count: int, port: int, plan: Plan, said: Connection) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()}, GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    outcome, errors = Outcome(), io.StringIO()
    _interfere(rank, plan, outcome)
    sys.argv = ["fit_scenes", *plan.arguments]
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(errors):
            common.run(fit.main)
    except SystemExit as end:
        outcome.code = int(end.code or 0)
    outcome.errors = errors.getvalue()
    said.send(_plain(outcome))
    said.close()


def _plain(outcome: Outcome) -> Outcome:
    """Tensors as arrays: they would travel as open files otherwise."""
    outcome.weights = {name: value.numpy() for name, value in outcome.weights.items()}
    return outcome


def _interfere(rank: int, plan: Plan, outcome: Outcome) -> None:
    """Lets the training of this process tell what it does, and go wrong as planned."""
    descend, forward, timed, run = Trainer._descend, Trainer._forward, Trainer._timed_step, Trainer.run

    def stopped(self: Trainer) -> None:
        descend(self)
        if plan.stop == (rank, self.step + 1):
            os.kill(os.getpid(), signal.SIGTERM)

    def spoiled(self: Trainer, batch):
        output = forward(self, batch)
        if plan.spoiled is not None and rank == plan.spoiled[0] and self.step + 1 in plan.spoiled[1]:
            output.losses["total"] = output.losses["total"] * torch.nan
        return output

    def told(self: Trainer):
        report, stop = timed(self)
        outcome.steps.append((report.step, report.loss, report.psnr, report.minutes, report.skipped))
        return report, stop

    def ended(self: Trainer, *arguments):
        done = run(self, *arguments)
        outcome.weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        return done

    Trainer._descend, Trainer._forward, Trainer._timed_step, Trainer.run = stopped, spoiled, told, ended
    fit.finish_run = lambda *arguments: None

"""The training loop: batches in, an ever better generator out, and nothing lost when it stops."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..fields import radiance_field
from ..interrupts import StoppedAtOnce, stopping_on_signals, whole
from ..models import Generator
from ..rendering import UnionOccupancy, render_rays
from ..types import InputError, SceneBatch
from .checkpoint import Checkpoint, generator_tensors, save_checkpoint
from .evaluation import mean_code, mean_image
from .experiment import Experiment
from .finite import all_finite, too_many_skipped
from .losses import hull_loss, reconstruction_loss
from .store import sample_batch, with_hulls
from .streaming import Scenes, SceneStream, sample_of, scenes_at


@dataclass(frozen=True)
class StepReport:
    """What one step has to say. `progress` runs from 0 to 1 over the run; PSNR is of the step's own training rays.

    `skipped`: the scenes of a step that changed nothing, since its loss or gradient was not finite.
    """

    step: int
    progress: float
    minutes: float
    loss: float
    psnr: float
    rays_per_second: float
    skipped: tuple[str, ...] = ()


def learning_rate_factor(progress: float, warmup: float) -> float:
    """Linear from 0 to 1 over `warmup`, then half a cosine to 0 (Loshchilov & Hutter 2017); progress in [0, 1]."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises `InputError` for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {name!r} asked for, but torch sees no GPU: use cpu or auto")
    try:
        return torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}: use auto, cpu or cuda") from None


class Trainer:
    """Trains a generator on stored scenes. State is everything that `save` writes; `run` goes on from it.

    Nothing random is drawn but from generators seeded by (seed, step), so that a run taken up again is, on a CPU, the
    uninterrupted one to the bit.
    """

    def __init__(self, experiment: Experiment, scenes: Scenes, run: Path, facts: Mapping[str, Any] | None = None) -> None:
        """Of a stream, scenes have the hulls that training asks for.

        `facts`: plain values kept with each checkpoint, which say what the run was started with.
        """
        config = experiment.train
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.experiment, self.config, self.run_dir, self.facts = experiment, config, run, facts or {}
        self.scenes = with_hulls(scenes) if config.loss.hull and not isinstance(scenes, SceneStream) else scenes
        self.device = pick_device(config.device)
        self.model = Generator(experiment.generator).to(self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), eps=1e-8, fused=True
        )
        self.occupancy = UnionOccupancy()
        self._mean_image = mean_image(sample_of(scenes))
        self.step, self.minutes, self.validated = 0, 0.0, 0
        self.skipped_in_a_row = 0

    @property
    def progress(self) -> float:
        by_time = 0.0 if self.config.minutes is None else self.minutes / self.config.minutes
        return max(self.step / self.config.steps, by_time)

    def run(self, on_step: Callable[[StepReport], None], on_validation: Callable[[Trainer], None]) -> bool:
        """Trains to the end. Returns False if told to stop before it: by `KeyboardInterrupt`, SIGINT or SIGTERM.

        A step under way is finished, a validation is left for later, and a checkpoint is written. Told a second time, it
        raises `KeyboardInterrupt` at once; the last checkpoint is then as it was.
        """
        with stopping_on_signals():
            try:
                self._train(on_step, on_validation)
            except StoppedAtOnce:
                raise
            except KeyboardInterrupt:
                self.save()
                return False
        return True

    def _train(self, on_step: Callable[[StepReport], None], on_validation: Callable[[Trainer], None]) -> None:
        while True:
            due = math.floor(self.progress * self.config.validations + 1e-9)
            if due > self.validated:
                on_validation(self)
                self.validated = due
            if self.progress >= 1:
                break
            with whole():
                report = self._timed_step()
            on_step(report)
            if self.step % self.config.checkpoint_every == 0:
                self.save()
        self.save()

    def _timed_step(self) -> StepReport:
        start = time.perf_counter()
        batch = sample_batch(scenes_at(self.scenes, self.step), self.config.batch, self.config.seed, self.step).to(self.device)
        losses, skipped = self.train_step(batch)
        seconds = time.perf_counter() - start
        self.minutes += seconds / 60
        rays = self.config.batch.scenes * self.config.batch.rays
        psnr = -10 * math.log10(max(float(losses["color"]), 1e-10))
        names = tuple(sorted(set(batch.scene_ids))) if skipped else ()
        return StepReport(self.step, self.progress, self.minutes, float(losses["total"]), psnr, rays / seconds, names)

    def train_step(self, batch: SceneBatch) -> tuple[dict[str, Tensor], bool]:
        """One step: (loss and its parts, whether it was skipped since loss or gradient were not finite).

        Raises:
            InputError: it was the last of too many skipped ones in a row.
        """
        empty_before = self.occupancy.values
        losses = self._losses(batch)
        self.optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip, foreach=True)
        # one decision: if several processes train together, all must take the same, that of the least fortunate
        finite = all_finite(losses["total"], norm, self.occupancy.values)
        if finite:
            self._descend()
            self.skipped_in_a_row = 0
        else:
            self.occupancy.values = empty_before
            self.skipped_in_a_row += 1
        self.step += 1
        if self.skipped_in_a_row >= self.config.max_skipped:
            raise too_many_skipped(
                self.run_dir, self.step, self.skipped_in_a_row, tuple(sorted(set(batch.scene_ids))), losses, self.model
            )
        return {name: value.detach() for name, value in losses.items()}, not finite

    def _losses(self, batch: SceneBatch) -> dict[str, Tensor]:
        """`total`, which is minimised, `color` (mean squared error) and `hull`, parts of it."""
        config = self.config
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step)
        weights = self.model(batch.context)
        if self.step % config.occupancy_every == 0:
            self.occupancy.update(weights.map(lambda t: t[:8].detach()), generator)
        scenes, rays = batch.target_colors.shape[:2]
        jitter = torch.rand(scenes, rays, config.samples, generator=generator).to(self.device)
        occupancy = self.occupancy.grid().to(self.device)
        output = render_rays(
            weights, batch.target_rays, batch.context.background, config.samples, occupancy, jitter, config.backend
        )
        loss, color_error = reconstruction_loss(output, batch, config.loss)
        losses = {"total": loss, "color": color_error}
        if batch.hull_points is not None and batch.hull_inside is not None:
            density = radiance_field(batch.hull_points, torch.zeros_like(batch.hull_points), weights, config.backend).density
            losses["hull"] = hull_loss(density, batch.hull_inside)
            losses["total"] = loss + self.hull_weight() * losses["hull"]
        return losses

    @torch.no_grad()  # or the average would drag along the graph of all steps so far
    def _descend(self) -> None:
        """The optimizer's step along the gradients, and the average's after it."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * learning_rate_factor(self.progress, config.warmup)
        self.optimizer.step()
        # a short memory at first, so that the average is not of the untrained start
        decay = min(config.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)

    def hull_weight(self) -> float:
        """Fades: what silhouettes say is soon known, and is not quite what the rays see."""
        return self.config.loss.hull * max(0.0, 1 - self.progress)

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "occupancy": self.occupancy.values,
            "minutes": self.minutes,
            "validated": self.validated,
            "skipped_in_a_row": self.skipped_in_a_row,
            "facts": self.facts,
        }
        tensors = {f"generator.{name}": value for name, value in self.average.state_dict().items()}
        mean = mean_code(self.average, sample_of(self.scenes), self.config.batch.context[1])
        tensors["mean_code.latent"] = mean.latent
        if mean.lifted is not None:
            tensors |= {"mean_code.learned": mean.lifted.learned, "mean_code.seen": mean.lifted.seen}
        tensors["mean_image"] = self._mean_image
        save_checkpoint(self.run_dir, self.step, tensors, state, self.config.keep)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Goes on from `checkpoint`. Raises `InputError` when it does not fit."""
        state = checkpoint.state
        try:
            self.average.load_state_dict(generator_tensors(checkpoint.tensors))
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.occupancy.values = state["occupancy"].reshape_as(self.occupancy.values)
            self.minutes, self.validated = float(state["minutes"]), int(state["validated"])
            self.skipped_in_a_row = int(state["skipped_in_a_row"])
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{self.run_dir}: the checkpoint does not fit the configuration ({reason}): use another --out"
            ) from None
        self.step = checkpoint.step

"""The training loop: batches in, an ever better generator out, and nothing lost when it stops."""

from __future__ import annotations

import copy
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ..fields import radiance_field
from ..models import Generator
from ..rendering import UnionOccupancy, render_rays
from ..types import InputError, SceneBatch
from .checkpoint import generator_tensors, load_checkpoint, load_state, save_checkpoint
from .evaluation import mean_code, mean_image
from .experiment import Experiment
from .losses import hull_loss, reconstruction_loss
from .store import StoredScene, sample_batch, with_hulls


@dataclass(frozen=True)
class StepReport:
    """What one step has to say. `progress` runs from 0 to 1 over the run; PSNR is of the step's own training rays."""

    step: int
    progress: float
    minutes: float
    loss: float
    psnr: float
    rays_per_second: float


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

    Interrupts (SIGINT, SIGTERM) end the step under way, write a checkpoint and make `run` return False; a second one stops
    at once, leaving the last checkpoint as it was.
    """

    def __init__(self, experiment: Experiment, scenes: list[StoredScene], run: Path) -> None:
        config = experiment.train
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.experiment, self.config, self.run_dir = experiment, config, run
        self.scenes = with_hulls(scenes) if config.loss.hull else scenes
        self.device = pick_device(config.device)
        self.model = Generator(experiment.generator).to(self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), eps=1e-8, fused=True
        )
        self.occupancy = UnionOccupancy()
        self._mean_image = mean_image(scenes)
        self.step, self.minutes, self.validated = 0, 0.0, 0
        self._interrupts = 0

    @property
    def progress(self) -> float:
        by_time = 0.0 if self.config.minutes is None else self.minutes / self.config.minutes
        return max(self.step / self.config.steps, by_time)

    def run(self, on_step: Callable[[StepReport], None], on_validation: Callable[[Trainer], None]) -> bool:
        """Trains to the end. Returns False if interrupted before it (a checkpoint is then written)."""
        handlers = {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while self.progress < 1:
                on_step(self._timed_step())
                due = math.floor(self.progress * self.config.validations + 1e-9)
                if self._interrupts:
                    self.save()
                    return False
                if due > self.validated:
                    self.validated = due
                    on_validation(self)
                if self.step % self.config.checkpoint_every == 0:
                    self.save()
            self.save()
            return True
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _interrupt(self, number: int, frame) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            raise KeyboardInterrupt

    def _timed_step(self) -> StepReport:
        start = time.perf_counter()
        batch = sample_batch(self.scenes, self.config.batch, self.config.seed, self.step)
        loss, color_error = self.train_step(batch.to(self.device))
        seconds = time.perf_counter() - start
        self.minutes += seconds / 60
        rays = self.config.batch.scenes * self.config.batch.rays
        psnr = -10 * math.log10(max(color_error, 1e-10))
        return StepReport(self.step, self.progress, self.minutes, loss, psnr, rays / seconds)

    def train_step(self, batch: SceneBatch) -> tuple[float, float]:
        """One optimiser step. Returns (loss, color mean squared error)."""
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
        if batch.hull_points is not None and batch.hull_inside is not None:
            density = radiance_field(batch.hull_points, torch.zeros_like(batch.hull_points), weights, config.backend).density
            loss = loss + self.hull_weight() * hull_loss(density, batch.hull_inside)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip, foreach=True)
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * learning_rate_factor(self.progress, config.warmup)
        self.optimizer.step()
        # a short memory at first, so that the average is not of the untrained start
        decay = min(config.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        self.step += 1
        return float(loss.detach()), float(color_error.detach())

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
        }
        tensors = {f"generator.{name}": value for name, value in self.average.state_dict().items()}
        mean = mean_code(self.average, self.scenes, self.config.batch.context[1])
        tensors["mean_code.latent"] = mean.latent
        if mean.lifted is not None:
            tensors |= {"mean_code.learned": mean.lifted.learned, "mean_code.seen": mean.lifted.seen}
        tensors["mean_image"] = self._mean_image
        save_checkpoint(self.run_dir, self.step, tensors, state)

    def resume(self) -> None:
        """Takes up the newest checkpoint of the run folder. Raises `InputError` when there is none or it does not fit."""
        self.step, tensors = load_checkpoint(self.run_dir)
        state = load_state(self.run_dir, self.step)
        try:
            self.average.load_state_dict(generator_tensors(tensors))
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, KeyError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{self.run_dir}: the checkpoint does not fit the configuration ({reason}): use another --out"
            ) from None
        self.occupancy.values = state["occupancy"]
        self.minutes, self.validated = state["minutes"], state["validated"]

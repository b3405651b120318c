"""The training loop: batches in, an ever better generator out, and nothing lost when it stops."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..interrupts import StoppedAtOnce
from ..models import Generator
from ..rendering import UnionOccupancy
from ..types import InputError, SceneBatch
from .batches import chosen_scenes, draw_jitter, sample_batch
from .checkpoint import Checkpoint, generator_tensors, save_checkpoint
from .distributed import Alone
from .evaluation import mean_code, mean_image
from .experiment import Experiment
from .finite import all_finite, too_many_skipped
from .objective import Look, Objective, StepInput, StepOutput, looked_at
from .objectives import further_objectives
from .schedule import learning_rate_factor
from .step import StepReport
from .store import with_hulls
from .streaming import Scenes, SceneStream, sample_of, scenes_at


class Trainer:
    """Trains a generator on stored scenes. State is everything that `save` writes; `run` goes on from it.

    Nothing random is drawn but from generators seeded by (seed, step) and the place in its batch: a run taken up again is, on
    a CPU, the uninterrupted one to the bit, and one of several processes is that of a single one, but for rounding.
    """

    def __init__(
        self,
        experiment: Experiment,
        scenes: Scenes,
        run: Path,
        facts: Mapping[str, Any] | None = None,
        team: Alone | None = None,
    ) -> None:
        """Of a stream, scenes have the hulls that training asks for.

        `facts`: plain values kept with each checkpoint, which say what the run was started with.

        `team`: the processes that train together, all with the same arguments; None: this one alone.
        """
        config = experiment.train
        self.team = team or Alone()
        self._slots = self.team.slots(config.batch.scenes)
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.experiment, self.config, self.run_dir, self.facts = experiment, config, run, facts or {}
        self.scenes = with_hulls(scenes) if config.loss.hull and not isinstance(scenes, SceneStream) else scenes
        self.device = self.team.device(config.device)
        self.model = Generator(experiment.generator).to(self.device)
        self.model.use_backend(config.backend)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self._further = further_objectives(experiment, run)
        self._objective: nn.Module = Objective(self.model, config, self._further)
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
        with self.team.listening():
            try:
                if self.team.count > 1:
                    self._rehearse()
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
                with self.team.together():
                    if self.team.writes:
                        on_validation(self)
                self.validated = due
            if self.progress >= 1:
                break
            with self.team.step():
                report, stop = self._timed_step()
            if stop:
                raise KeyboardInterrupt
            on_step(report)
            if self.step % self.config.checkpoint_every == 0:
                self.save()
        self.save()

    def _rehearse(self) -> None:
        """A step that changes nothing. DDP sorts its buckets after the first, and sums of more than two processes are rounded by
        their places in them: a run that is taken up again would else begin otherwise than the uninterrupted one goes on."""
        some = self.model.refinement is not None  # a step that refines nothing needs less than all parameters
        self._objective = self.team.wrapped(Objective(self.model, self.config, self._further), some)
        with warnings.catch_warnings():  # a 1 x 1 convolution's gradient is strided otherwise, which costs a copy of little
            warnings.simplefilter("ignore", UserWarning)
            self._forward(self._draw()).losses["total"].backward()
        self.optimizer.zero_grad(set_to_none=True)

    def _draw(self) -> SceneBatch:
        """This process's part of the step's batch."""
        scenes = scenes_at(self.scenes, self.step)
        return sample_batch(scenes, self.config.batch, self.config.seed, self.step, self._slots).to(self.device)

    def _timed_step(self) -> tuple[StepReport, bool]:
        """What the step has to say, and whether another process was told to stop."""
        start = time.perf_counter()
        losses, skipped = self.train_step(self._draw())
        seconds, stop = self.team.agree(time.perf_counter() - start)
        self.minutes += seconds / 60
        rays = self.config.batch.scenes * self.config.batch.rays
        psnr = -10 * math.log10(max(float(losses["color"]), 1e-10))
        return StepReport(self.step, self.progress, self.minutes, float(losses["total"]), psnr, rays / seconds, skipped), stop

    def train_step(self, batch: SceneBatch) -> tuple[dict[str, Tensor], tuple[str, ...]]:
        """One step on this process's part of its batch: (loss and its parts, means over the whole batch; its scenes if it was
        skipped since loss or gradient were not finite, else none).

        Raises:
            InputError: it was the last of too many skipped ones in a row.
        """
        output = self._forward(batch)
        output.losses["total"].backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip, foreach=True)
        seen = output.seen
        finite = all_finite(output.losses["total"], norm, *([] if seen is None else [seen]))
        # one decision: if several processes train together, all must take the same, that of the least fortunate
        losses, finite = self.team.mean(output.losses, finite)
        if finite:
            self._descend()
            if seen is not None:
                self.occupancy.update(self.team.largest(seen))
        skipped = () if finite else self._scene_names()
        self.step += 1
        self.skipped_in_a_row = 0 if finite else self.skipped_in_a_row + 1
        if self.skipped_in_a_row >= self.config.max_skipped:
            with self.team.together():
                if self.team.writes:
                    raise too_many_skipped(self.run_dir, self.step, self.skipped_in_a_row, skipped, losses, self.model)
        # now, not after the next forward pass: gradients that lie among its tensors make the heap grow, here and there, for hours
        self.optimizer.zero_grad(set_to_none=True)
        return losses, skipped

    def _forward(self, batch: SceneBatch) -> StepOutput:
        config, look = self.config, None
        seed = config.seed * 1_000_003 + self.step
        generator = torch.Generator().manual_seed(seed)
        specs = tuple(self.experiment.sizes.shuffled(self.experiment.field, generator))
        if self.step % config.occupancy_every == 0:
            look = Look(self.occupancy.points(generator), looked_at(self._slots, config.batch.scenes))
        jitter = draw_jitter(config.seed, self.step, self._slots, config.batch.rays, config.samples).to(self.device)
        occupancy = self.occupancy.grid().to(self.device)
        refine = self.progress >= config.refine_from
        return self._objective(StepInput(batch, specs, jitter, occupancy, self.hull_weight(), refine, seed, look))

    def _scene_names(self) -> tuple[str, ...]:
        """Of the scenes in the whole batch of the step under way."""
        scenes = scenes_at(self.scenes, self.step)
        chosen, _ = chosen_scenes(len(scenes), self.config.batch, self.config.seed, self.step)
        return tuple(sorted({scenes[i].scene_id for i in chosen}))

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
        """Writes a checkpoint."""
        with self.team.together():
            if self.team.writes:
                self._write()

    def _write(self) -> None:
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

    def start_from(self, generator: Generator) -> None:
        """The first step will go on from what another run has learned. Raises `InputError` when it does not fit."""
        try:
            for model in (self.model, self.average):
                model.load_state_dict(generator.state_dict())
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise InputError(f"--continue-from: the earlier run's model is another ({reason}): use its configuration") from None

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
        # where a run is made longer, or looked at less often, than it was: some are due again
        self.validated = min(self.validated, math.floor(self.progress * self.config.validations + 1e-9))

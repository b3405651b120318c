"""Several processes that train one model: torch.distributed alone, started by torchrun; gloo on CPUs, nccl on GPUs.

Each rank draws and learns from its own places (slots) of every batch; DDP averages the gradients. What must be decided alike (to
skip a step, to stop, how far the run is) is agreed on at every step. Rank 0 alone writes, the others wait for it. `Alone` is the
same for one process, and costs it nothing.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..interrupts import Notice, StoppedAtOnce, noting, stopping_on_signals, whole
from ..types import InputError
from .checkpoint import Checkpoint, packed

T = TypeVar("T")
PATIENCE = timedelta(days=1)  # for a rank that loads, validates or writes, before it is named as the one that hangs
REPEATS = 3.0  # seconds within which a signal is another's copy: clusters send it to all processes, then torchrun to its own
PART = 1 << 28  # bytes sent at a time


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


class Alone:
    """One process, on its own."""

    rank, count = 0, 1

    @property
    def writes(self) -> bool:
        """Whether files and messages are this rank's to write."""
        return self.rank == 0

    def slots(self, places: int) -> range:
        """Which of a batch's places are this rank's. Raises `InputError` when they cannot be shared evenly."""
        if places % self.count:
            raise InputError(
                f"train.batch.scenes {places} cannot be shared evenly by {self.count} processes: use a multiple of it"
            )
        share = places // self.count
        return range(self.rank * share, (self.rank + 1) * share)

    def device(self, name: str) -> torch.device:
        """This rank's own device of the kind that is asked for. Raises `InputError` for one that is not there."""
        return pick_device(name)

    def wrapped(self, module: nn.Module, partly: bool = False) -> nn.Module:
        """The module whose backward pass leaves the mean of all ranks' gradients in its parameters.

        `partly`: a step may leave some of them without a gradient.
        """
        return module

    def mean(self, losses: Mapping[str, Tensor], finite: bool) -> tuple[dict[str, Tensor], bool]:
        """(the means of the losses over all ranks, whether all ranks' numbers are finite)."""
        return {name: value.detach() for name, value in losses.items()}, finite

    def largest(self, values: Tensor) -> Tensor:
        """Element by element over all ranks."""
        return values

    def agree(self, seconds: float) -> tuple[float, bool]:
        """At the end of a step: (rank 0's `seconds`, whether any rank was told to stop by a signal that was not obeyed yet)."""
        return seconds, False

    def listening(self) -> AbstractContextManager[None]:
        """Within it, signals stop the training."""
        return stopping_on_signals()

    def step(self) -> AbstractContextManager[None]:
        """Within it, a step is finished before a signal stops the training."""
        return whole()

    def together(self) -> AbstractContextManager[None]:
        """Work, of some or all ranks, that ends for all in the same way: well, by `KeyboardInterrupt`, or by an `InputError`,
        which is raised where it came first; elsewhere it is `SystemExit`. All wait for the last."""
        return nullcontext()

    def leader_first(self, work: Callable[[], T]) -> T:
        """The result of `work`, done by each machine's first rank before the others, so that it can fill caches for them."""
        return work()

    def of_writer(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """Rank 0's checkpoint; no other rank needs to see its folder."""
        return checkpoint

    def refuse_unlike(self, what: str, described: str) -> None:
        """Raises `InputError` on all ranks when they do not have the same `what`."""

    def leave(self) -> None:
        """Ends the working together. What follows is rank 0's alone."""


class Team(Alone):
    """One of several processes. The default group does the steps; another, with more patience, waits for single ranks."""

    def __init__(self) -> None:
        store, rank, count = next(dist.rendezvous("env://"))
        # after a restart torchrun offers the same store, which still holds where the dead ranks were to be reached
        store = dist.PrefixStore("attempt_" + os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=count)
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        self._waiting = dist.new_group(backend="gloo", timeout=PATIENCE)
        self._device = torch.device("cpu")
        self._notice = Notice(REPEATS)
        self._told = False  # the noted signal was agreed on

    def device(self, name: str) -> torch.device:
        asked = pick_device(name)
        if asked.type == "cuda" and asked.index is None:
            if self.local_rank >= torch.cuda.device_count():
                raise InputError(f"{torch.cuda.device_count()} GPUs for more processes: start one a GPU (--nproc-per-node)")
            asked = torch.device("cuda", self.local_rank)
            torch.cuda.set_device(asked)
        self._device = asked
        return asked

    def wrapped(self, module: nn.Module, partly: bool = False) -> nn.Module:
        # buffers are constants. Torch is about to rename that argument, and the oldest torch we run on does not know the new name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(
                module, broadcast_buffers=False, gradient_as_bucket_view=True, find_unused_parameters=partly
            )

    def mean(self, losses: Mapping[str, Tensor], finite: bool) -> tuple[dict[str, Tensor], bool]:
        spoiled = torch.tensor(float(not finite), device=self._device)
        values = torch.stack([spoiled, *(value.detach() for value in losses.values())]).double()
        dist.all_reduce(values)
        return dict(zip(losses, values[1:] / self.count, strict=True)), not values[0]

    def largest(self, values: Tensor) -> Tensor:
        dist.all_reduce(values, dist.ReduceOp.MAX)
        return values

    def agree(self, seconds: float) -> tuple[float, bool]:
        own = [seconds if self.writes else 0.0, float(self._is_asked)]
        values = torch.tensor(own, dtype=torch.float64, device=self._device)
        dist.all_reduce(values)
        seconds, asked = values.tolist()
        self._told |= asked > 0
        return seconds, asked > 0

    @property
    def _is_asked(self) -> bool:
        return self._notice.asked and not self._told

    def listening(self) -> AbstractContextManager[None]:
        return noting(self._notice)

    def step(self) -> AbstractContextManager[None]:
        return nullcontext()  # all is as a step while signals are only noted

    @contextmanager
    def together(self) -> Iterator[None]:
        error, interrupted = None, False
        with noting(self._notice):
            try:
                with stopping_on_signals(self._notice):
                    yield
            except InputError as caught:
                error = caught
            except KeyboardInterrupt:
                interrupted = True
                self._notice.note()
            dist.monitored_barrier(self._waiting, PATIENCE)
            interrupted |= self._is_asked
            verdict = torch.tensor([self.count if error is None else self.rank, not interrupted])
            dist.all_reduce(verdict, dist.ReduceOp.MIN, group=self._waiting)
        first, going_on = verdict.tolist()
        if first < self.count:
            raise error if error is not None and first == self.rank else SystemExit(2)
        if not going_on:
            self._told = True
            raise KeyboardInterrupt

    def leader_first(self, work: Callable[[], T]) -> T:
        for turn in (True, False):
            with self.together():
                if turn == (self.local_rank == 0):
                    result = work()
        return result

    def of_writer(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        data = b"" if checkpoint is None else packed(vars(checkpoint))
        size = torch.tensor(len(data))
        dist.broadcast(size, 0, group=self._waiting)
        if not size:
            return None
        sent = torch.frombuffer(bytearray(data) if self.writes else bytearray(int(size)), dtype=torch.uint8)
        for part in sent.split(PART):
            dist.broadcast(part, 0, group=self._waiting)
        return checkpoint if self.writes else Checkpoint(**torch.load(io.BytesIO(sent.numpy().data), weights_only=True))

    def refuse_unlike(self, what: str, described: str) -> None:
        digest = int.from_bytes(hashlib.blake2b(described.encode(), digest_size=7).digest(), "little")
        ends = torch.tensor([digest, -digest])
        dist.all_reduce(ends, dist.ReduceOp.MAX, group=self._waiting)
        if ends.sum():
            raise InputError(f"the processes do not have the same {what}: give all machines the same command and data")

    def leave(self) -> None:
        if dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def joined() -> Iterator[Alone]:
    """This process's part in a training: one of many where torchrun has started it so."""
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Alone()
        return
    team = Team()
    try:
        yield team
    except StoppedAtOnce:
        raise
    except (InputError, KeyboardInterrupt, SystemExit):  # agreed on: all leave. After other errors there is nobody to part from
        team.leave()
        raise
    team.leave()

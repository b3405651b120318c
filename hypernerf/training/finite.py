"""Steps whose numbers are not finite: they change nothing, and too many in a row end the training with what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..files import write_atomically
from ..types import InputError
from .checkpoint import packed


def all_finite(*values: Tensor) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in values)


def too_many_skipped(
    run: Path, step: int, in_a_row: int, scene_ids: tuple[str, ...], losses: Mapping[str, Tensor], model: nn.Module
) -> InputError:
    """The error that ends a training. What the last step was like is written to `nonfinite_STEP.pt` in `run`: plain values and
    tensors, for `read_state`. Its batch can be drawn again from the seed and the step.
    """
    parameters = dict(model.named_parameters())
    facts = {
        "step": step,
        "scene_ids": list(scene_ids),
        "losses": {name: value.detach().cpu() for name, value in losses.items()},
        "parameter_norms": {name: value.detach().norm().cpu() for name, value in parameters.items()},
        "gradient_norms": {name: value.grad.norm().cpu() for name, value in parameters.items() if value.grad is not None},
    }
    path = run / f"nonfinite_{step:08d}.pt"
    write_atomically(path, lambda place: place.write_bytes(packed(facts)))
    return InputError(
        f"{run}: loss or gradient were not finite in {in_a_row} steps in a row, the last with {', '.join(scene_ids)}: lower "
        f"train.learning_rate or look at these scenes, then --resume; {path.name} there says more"
    )

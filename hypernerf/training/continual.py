"""Going on with other scenes without forgetting the first ones, which are never seen again (von Oswald et al. 2020).

Of the earlier scenes a few hundred codes are kept, and the weights that were written for them; what is written for them now
must stay the same. The encoder, which makes the codes, is held still, or the codes would come to mean something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from ..fields import FieldSpec, FieldWeights
from ..files import write_atomically
from ..models import Generator, Lifted, SceneCode
from ..tensor_files import read_tensors
from ..types import InputError
from .step import Step
from .store import StoredScene, context_views


@dataclass(frozen=True)
class StoredCodes:
    """Codes of earlier scenes and the weights that were written for them, one row a scene."""

    code: SceneCode
    written: FieldWeights

    def __len__(self) -> int:
        return len(self.written)


@torch.no_grad()
def codes_of(generator: Generator, scenes: Sequence[StoredScene], context: tuple[int, int], most: int) -> StoredCodes:
    """Of up to `most` scenes, evenly chosen, read from the fewest to the most context views in turn."""
    chosen = list(scenes[:: max(1, len(scenes) // most)][:most])
    codes = []
    for number, scene in enumerate(chosen):
        views = context[0] + number % (context[1] - context[0] + 1)
        codes.append(generator.encode(context_views([scene], range(min(views, len(scene)))).to(generator.device)))
    lifted = [code.lifted for code in codes if code.lifted is not None]
    volumes = Lifted(torch.cat([x.learned for x in lifted]), torch.cat([x.seen for x in lifted])) if lifted else None
    weights = [generator.generate(code) for code in codes]
    joined = {name: torch.cat([w.tensors[name] for w in weights]) for name in generator.config.field.param_shapes}
    return StoredCodes(
        SceneCode(torch.cat([code.latent for code in codes]), volumes), FieldWeights(generator.config.field, joined)
    )


def save_codes(path: Path, parts: Sequence[StoredCodes]) -> None:
    """All of them in one file, in half precision."""
    rows = [_tensors(part) for part in parts]
    joined = {name: torch.cat([row[name] for row in rows]).cpu().half().contiguous() for name in rows[0]}
    data = save(joined)
    write_atomically(path, lambda place: place.write_bytes(data))


def _tensors(codes: StoredCodes) -> dict[str, Tensor]:
    tensors = {f"weights.{name}": value for name, value in codes.written.tensors.items()} | {"latent": codes.code.latent}
    lifted = codes.code.lifted
    return tensors if lifted is None else tensors | {"learned": lifted.learned, "seen": lifted.seen}


def load_codes(path: Path, spec: FieldSpec) -> StoredCodes:
    """Raises `InputError` when the file is missing or not one of a generator of such fields."""
    tensors, _ = read_tensors(path)
    try:
        weights = {name: tensors[f"weights.{name}"] for name in spec.param_shapes}
        lifted = Lifted(tensors["learned"], tensors["seen"]) if "learned" in tensors else None
        return StoredCodes(SceneCode(tensors["latent"], lifted), FieldWeights(spec, weights))
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: not codes of a run with this configuration ({error}): train the earlier run anew") from None


class KeepWritten:
    """weight * mean over tensors of |W(code) - W then|^2 / |W then|^2, on a few stored codes a step."""

    def __init__(self, codes: StoredCodes, weight: float, count: int = 4) -> None:
        self.codes, self.weight, self.count = codes, weight, count

    def __call__(self, model: Generator, step: Step) -> Tensor:
        rows = torch.randint(len(self.codes), (self.count,), generator=step.generator)
        device, code = model.device, self.codes.code
        lifted = code.lifted
        volumes = None if lifted is None else Lifted(lifted.learned[rows].to(device), lifted.seen[rows].to(device))
        now = model.generate(SceneCode(code.latent[rows].to(device), volumes)).tensors
        then = {name: value[rows].to(device) for name, value in self.codes.written.tensors.items()}
        errors = [(now[name] - value).square().sum() / value.square().sum() for name, value in then.items()]
        return self.weight * torch.stack(errors).mean()

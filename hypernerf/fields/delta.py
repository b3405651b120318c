"""A scene as a small change to what all scenes share: a mean field, and orthogonal factors along each dimension of each tensor.

A tensor's change D from the mean is written as its Tucker core C = D x_1 U_1' x_2 U_2' …, whose factors U_i are the eigenvectors
of all scenes' changes along dimension i (Tucker 1966; higher-order SVD: De Lathauwer et al. 2000). They are shared, so a scene is
its core alone, and nearly all of a core is near zero: the changes are of low rank. Rounded to whole steps, and the zeros packed
by deflate, a core takes a few kilobytes. A tensor's step is inverse to how much its noise is seen in density and color.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor

from ..config import from_dict
from ..files import write_atomically
from ..reading import parse_json
from ..tensor_files import read_tensors
from ..types import InputError
from .radiance_field import radiance_field
from .spec import FieldSpec
from .weights import FieldWeights

BASE_FILE = "base.safetensors"  # in a run's folder
SIZE_LIMIT = 1 << 29
ERROR = 0.01  # of opacity and color, root mean square, that rounding may cost at coarseness 1 if no coefficient is 0
LENGTH, POINTS = 0.1, 2048  # light's way through a point's density, and points, by which a tensor's noise is judged
LARGEST = 32767  # steps of a coefficient


@dataclass(frozen=True)
class SharedBase:
    """`mean`: one scene. `factors[name][i]`: orthogonal [size, size]. `steps[name]`: of the coefficients at coarseness 1."""

    mean: FieldWeights
    factors: Mapping[str, tuple[Tensor, ...]]
    steps: Mapping[str, float]
    step: int = 0  # of the run whose scenes it was made from

    @property
    def digest(self) -> str:
        total = hashlib.blake2b(digest_size=8)
        for name, value in sorted(self._tensors().items()):
            total.update(name.encode() + value.numpy().tobytes())
        return total.hexdigest()

    @property
    def file_name(self) -> str:
        """Under which it is looked for beside the scenes that change it."""
        return f"base-{self.digest}.safetensors"

    def _tensors(self) -> dict[str, Tensor]:
        factors = {f"factor.{name}.{i}": f for name, parts in self.factors.items() for i, f in enumerate(parts)}
        means = {f"mean.{name}": value[0] for name, value in self.mean.tensors.items()}
        return {
            n: t.contiguous()
            for n, t in (factors | means | {f"step.{n}": torch.tensor(s) for n, s in self.steps.items()}).items()
        }

    def save(self, path: Path) -> None:
        metadata = {"kind": "base", "spec": asdict(self.mean.spec), "step": self.step}
        data = save(self._tensors(), {"hypernerf": json.dumps(metadata)})
        write_atomically(path, lambda place: place.write_bytes(data))


def make_base(weights: FieldWeights, step: int = 0) -> SharedBase:
    """The base of many scenes' weights. Steps are such that each number's rounding is seen equally."""
    mean = weights.map(lambda t: t.mean(0, keepdim=True))
    factors = {n: _eigenvectors(t - mean.tensors[n]) for n, t in weights.tensors.items()}
    total = sum(t[0].numel() for t in weights.tensors.values())
    # rounding to steps has a variance of step^2 / 12 a number
    steps = {n: ERROR * (12 / total / visibility) ** 0.5 for n, visibility in _visibilities(weights).items()}
    return SharedBase(mean, factors, {n: float(torch.tensor(s)) for n, s in steps.items()}, step)


def _eigenvectors(changes: Float[Tensor, "scene *dimensions size"]) -> tuple[Tensor, ...]:
    """For each dimension but the first, the eigenvectors of all changes' second moments along it, the greatest first."""
    rows = (changes.movedim(i, 0).flatten(1).double() for i in range(1, changes.ndim))
    return tuple(torch.linalg.eigh(r @ r.T).eigenvectors.flip(1).float() for r in rows)


def _visibilities(weights: FieldWeights) -> dict[str, float]:
    """Mean squared change of a point's opacity and color for noise of variance 1 in one number of a tensor, by its name."""
    some = weights[: min(8, len(weights))]
    random = torch.Generator().manual_seed(0)
    points = torch.rand(len(some), POINTS, 3, generator=random) * 2 - 1

    def seen(field: FieldWeights) -> Tensor:
        output = radiance_field(points, torch.nn.functional.normalize(points, dim=-1), field)
        opacity = -torch.expm1(-output.density * LENGTH)[..., None]
        return torch.cat([opacity, opacity * output.color], dim=-1)

    before, result = seen(some), {}
    for name, value in some.tensors.items():
        scale = 0.1 * float(value.std(0).square().mean().sqrt().clamp_min(1e-4)) if len(some) > 1 else 1e-3
        noisy = value + scale * torch.randn(value.shape, generator=random)
        change = seen(FieldWeights(some.spec, {**some.tensors, name: noisy})) - before
        result[name] = max(float(change.square().mean()), 1e-14) / scale**2 / value[0].numel()
    return result


def encode(base: SharedBase, weights: FieldWeights, coarseness: float = 1.0) -> bytes:
    """One scene's weights as packed whole numbers. Raises `InputError` for a field of another architecture."""
    if weights.spec != base.mean.spec:
        raise InputError(f"the base is of fields {base.mean.spec}, not {weights.spec}: make another base")
    numbers = []
    for name, value in weights.tensors.items():
        core = _turn(value[0] - base.mean.tensors[name][0], base.factors[name], back=False)
        numbers.append((core / (base.steps[name] * coarseness)).round().clamp(-LARGEST, LARGEST).flatten())
    octets = torch.cat(numbers).to(torch.int16).numpy().astype("<i2").view("uint8").reshape(-1, 2)
    return zlib.compress(octets.T.tobytes(), 9)  # high and low halves apart: the former are nearly all 0


def decode(base: SharedBase, data: bytes, coarseness: float = 1.0) -> FieldWeights:
    """What `encode` keeps of the weights, [1, …]. Raises `ValueError` for damaged data."""
    counts = [value[0].numel() for value in base.mean.tensors.values()]
    try:
        octets = zlib.decompressobj().decompress(data, 2 * sum(counts) + 1)
    except zlib.error as error:
        raise ValueError(f"its numbers cannot be unpacked: {error}") from None
    if len(octets) != 2 * sum(counts):
        raise ValueError("it holds another number of numbers than the base has")
    pairs = torch.frombuffer(bytearray(octets), dtype=torch.uint8).reshape(2, -1).T.contiguous().numpy()
    numbers = torch.from_numpy(pairs.view("<i2")[:, 0].astype("float32"))
    tensors = {}
    for part, (name, mean) in zip(numbers.split(counts), base.mean.tensors.items(), strict=True):
        core = part.reshape(mean.shape[1:]) * (base.steps[name] * coarseness)
        tensors[name] = mean + _turn(core, base.factors[name], back=True)
        if not tensors[name].isfinite().all():
            raise ValueError(f"its numbers make {name} infinite")
    return FieldWeights(base.mean.spec, tensors)


def _turn(tensor: Tensor, factors: tuple[Tensor, ...], back: bool) -> Tensor:
    """Along each dimension, into the factors' coordinates or back."""
    for dimension, factor in enumerate(factors):
        tensor = torch.tensordot(factor if back else factor.T, tensor.movedim(dimension, 0), 1).movedim(0, dimension)
    return tensor


def load_base(path: Path) -> SharedBase:
    """A base file, or a run's folder that holds one. Raises `InputError` when it is none."""
    path = path / BASE_FILE if path.is_dir() else path
    if not path.exists():
        raise InputError(f"{path}: no such base: tools/reconstruct.py --delta writes it beside its scene")
    tensors, metadata = read_tensors(path, SIZE_LIMIT)
    try:
        facts = parse_json(metadata["hypernerf"])
        spec = from_dict(FieldSpec, facts["spec"], "spec")
        shapes = spec.param_shapes
        mean = FieldWeights(spec, {name: tensors[f"mean.{name}"][None] for name in shapes})
        factors = {name: tuple(tensors[f"factor.{name}.{i}"] for i in range(len(shape))) for name, shape in shapes.items()}
        for name, shape in shapes.items():
            if [tuple(f.shape) for f in factors[name]] != [(size, size) for size in shape]:
                raise ValueError(f"the factors of {name} do not fit")
        return SharedBase(mean, factors, {name: float(tensors[f"step.{name}"]) for name in shapes}, int(facts["step"]))
    except (InputError, KeyError, TypeError, AttributeError, ValueError, OverflowError, RuntimeError) as error:
        raise InputError(f"{path}: not a base of scenes ({error}): make it anew with tools/reconstruct.py --delta") from None

"""Going on with other scenes without forgetting the first ones, whose images are never seen again.

What is kept of the earlier scenes is the model as it was, and what it wrote for some of them: fields, and from where those
scenes had been seen. A run that goes on draws them once, and in each step some of these pictures are given to the model and to
the earlier one: both must write the same fields. That is the output regularizer of von Oswald et al. (2020), with pictures for
their task embeddings (pseudo-rehearsal: Robins 1995) and fields compared by what they say of points instead of by weights.
Encoder and hypernetwork are kept as one, so that both may change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor
from torch.nn.functional import normalize

from ..fields import FieldSpec, FieldWeights, radiance_field
from ..files import write_atomically
from ..models import Generator, GeneratorConfig
from ..rendering import RenderSettings, render_views
from ..tensor_files import read_tensors
from ..types import Cameras, FieldOutput, InputError, SceneViews
from .batches import sample_batch
from .checkpoint import generator_tensors
from .evaluation import reconstruct
from .evenly import evenly
from .losses import HULL_LENGTH
from .step import Step
from .store import StoredScene, stack_cameras, store_scene

VIEWS = 12  # of a scene: a field is written from them, and drawn as they see it
SHARE = 3  # one earlier scene a step for so many new ones
CANDIDATES, POINTS = 4096, 1024  # drawn in each scene, and compared


@dataclass(frozen=True)
class Memory:
    """Fields of earlier scenes and the cameras they are drawn by, of images of a single pixel; one row a scene."""

    fields: FieldWeights
    cameras: Cameras  # [scene, view]
    background: Float[Tensor, "scene 3"]


def remembered(generator: Generator, scenes: Sequence[StoredScene], most: int) -> Memory:
    """Of up to `most` scenes, evenly chosen, each read from more views than in training: fields are the better for it."""
    chosen = evenly(scenes, most)
    still = [scene.views_at(0.0) for scene in chosen]
    views = [[some[i * len(some) // VIEWS] for i in range(VIEWS)] for some in still]
    fields = [reconstruct(generator, scene, sorted(set(v))) for scene, v in zip(chosen, views, strict=True)]
    joined = {name: torch.cat([field.tensors[name] for field in fields]).cpu() for name in fields[0].tensors}
    cameras = stack_cameras([scene.cameras[v].resized(1, 1) for scene, v in zip(chosen, views, strict=True)])
    return Memory(FieldWeights(fields[0].spec, joined), cameras, torch.stack([scene.background for scene in chosen]))


def save_memory(path: Path, parts: Sequence[Memory], generator: Generator | None = None) -> None:
    """All of them in one file, weights in half precision as in a scene file; and the generator, if it is to be kept."""
    rows = [_tensors(part) for part in parts]
    tensors = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    if generator is not None:
        tensors |= {f"generator.{name}": value for name, value in generator.state_dict().items()}
    data = save({name: value.cpu().contiguous() for name, value in tensors.items()})
    write_atomically(path, lambda place: place.write_bytes(data))


def _tensors(memory: Memory) -> dict[str, Tensor]:
    weights = {f"weights.{name}": value.half() for name, value in memory.fields.tensors.items()}
    matrices, intrinsics = memory.cameras.camera_to_world, memory.cameras.intrinsics
    return weights | {"camera_to_world": matrices, "intrinsics": intrinsics, "background": memory.background}


def load_memory(path: Path, spec: FieldSpec) -> Memory:
    """Raises `InputError` when the file is missing or not one of a run with such fields."""
    tensors, _ = read_tensors(path)
    shapes = {"camera_to_world": (VIEWS, 4, 4), "intrinsics": (VIEWS, 4), "background": (3,)}
    shapes |= {f"weights.{name}": shape for name, shape in spec.param_shapes.items()}
    count = tensors["background"].shape[:1] if "background" in tensors else ()
    for name, shape in shapes.items():
        if name not in tensors or tuple(tensors[name].shape) != (*count, *shape) or not tensors[name].numel():
            found = f"of shape {list(tensors[name].shape)}" if name in tensors else "not there"
            raise InputError(f"{path}: {name} is {found}, not of a run with this configuration: train the earlier run anew")
    fields = FieldWeights(spec, {name: tensors[f"weights.{name}"] for name in spec.param_shapes})
    return Memory(fields, Cameras(tensors["camera_to_world"], tensors["intrinsics"], 1, 1), tensors["background"])


def load_earlier(path: Path, config: GeneratorConfig) -> Generator:
    """The generator kept there. Raises `InputError` when there is none, or not one of this configuration."""
    generator = Generator(config)
    try:
        generator.load_state_dict(generator_tensors(read_tensors(path)[0]))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{path}: the earlier model is another ({reason}): use its configuration") from None
    return generator


def drawn(memory: Memory, size: int, settings: RenderSettings) -> list[StoredScene]:
    """As scenes of which there are pictures: of the fields, `size` pixels wide and high."""
    scenes = []
    for i, background in enumerate(memory.background):
        cameras = memory.cameras[i].resized(size, size)
        seen = render_views(memory.fields[i : i + 1], cameras, background, settings).color
        scenes.append(store_scene(SceneViews(f"earlier-{i}", cameras, seen, background)))
    return scenes


class Rehearsal:
    """weight * distance of what is now written for such pictures from what the earlier model writes for the same ones."""

    def __init__(self, scenes: Sequence[StoredScene], earlier: Generator, weight: float) -> None:
        self.scenes, self.earlier, self.weight = scenes, earlier.requires_grad_(False), weight

    def __call__(self, model: Generator, step: Step) -> Tensor:
        config, random, spec = step.config, step.generator, step.weights.spec
        few = replace(config.batch, scenes=max(1, config.batch.scenes // SHARE))
        seed = int(torch.randint(1 << 31, (), generator=random))
        pictures = sample_batch(self.scenes, few, seed, 0).context.to(model.device)
        with torch.no_grad():
            then = self.earlier.to(model.device)(pictures, spec)
        return self.weight * field_distance(model(pictures, spec), then, random, config.backend)


def field_distance(now: FieldWeights, then: FieldWeights, random: torch.Generator, backend: str = "auto") -> Float[Tensor, ""]:
    """mean (o - o*)^2 + o* |c - c*|^2 at points of the scene sphere, mostly where there is something: where the field that
    counts, `then`, has the opacity o* = 1 - exp(-density * HULL_LENGTH) and the color c*."""
    points = normalize(torch.randn(len(then), CANDIDATES, 3, generator=random), dim=-1)
    points = (points * torch.rand(len(then), CANDIDATES, 1, generator=random) ** (1 / 3)).to(then.device)
    directions = normalize(torch.randn(len(then), POINTS, 3, generator=random), dim=-1).to(then.device)
    with torch.no_grad():
        opacity = _opacity(radiance_field(points, torch.zeros_like(points), then, backend))
        chosen = torch.multinomial(opacity.cpu() + 0.1, POINTS, generator=random).to(then.device)
        points = torch.gather(points, 1, chosen[..., None].expand(-1, -1, 3))
        aim = radiance_field(points, directions, then, backend)
    found = radiance_field(points, directions, now, backend)
    wanted = _opacity(aim)
    return (_opacity(found) - wanted).square().mean() + (wanted[..., None] * (found.color - aim.color).square()).mean()


def _opacity(output: FieldOutput) -> Float[Tensor, "scene point"]:
    return -torch.expm1(-output.density * HULL_LENGTH)

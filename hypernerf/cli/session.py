"""A trained run, read back from its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from scenes.loading import load_split
from scenes.source import SourceConfig, Split

from ..config import apply_overrides, load_yaml
from ..fields import FieldWeights, SceneField
from ..models import Generator, Lifted, SceneCode, SizesConfig
from ..models.generator import no_larger_than
from ..training import Experiment, StoredScene, normalized, store_scene
from ..training.checkpoint import generator_tensors, load_checkpoint
from ..types import Cameras, InputError, SceneTransform
from .common import open_source, parse_config, sphere_of, tracked, warn
from .pretrained import model_folder


@dataclass(frozen=True)
class Run:
    """A generator with what it was trained on. `source` states the scene sphere and the up axis."""

    folder: Path
    source: SourceConfig
    experiment: Experiment
    generator: Generator
    mean_code: SceneCode  # of the training scenes
    mean_image: Tensor  # [height, width, 3]
    step: int

    @property
    def transform(self) -> SceneTransform:
        sphere = sphere_of(self.source)
        if sphere is None:
            raise InputError(f"{self.folder / 'config.yaml'}: states no scene sphere: set source.center and source.radius")
        return sphere

    def scene_field(self, name: str, weights: FieldWeights, cameras: Cameras) -> SceneField:
        """What a scene file holds. `cameras` [view] in scene-sphere coordinates say from where it is best looked at."""
        focal = float(cameras.intrinsics[:, :2].mean())
        return SceneField(
            name=name,
            weights=weights.rounded(),
            transform=self.transform,
            background=self.source.background,
            up=self.source.up or (0.0, 0.0, 1.0),
            camera_distance=float(cameras.positions.norm(dim=-1).mean()),
            field_of_view_degrees=math.degrees(2 * math.atan(min(cameras.height, cameras.width) / 2 / focal)),
        )


def load_run(folder: Path | str, overrides: Sequence[str] = ()) -> Run:
    """The newest checkpoint of a run folder (or `pretrained:NAME`, `hub:OWNER/NAME`).

    `overrides` are `--section.key VALUE` arguments that change its configuration.

    Raises:
        InputError: not a run folder, or one whose parts do not fit each other.
    """
    folder = model_folder(folder)
    config = folder / "config.yaml"
    if not config.is_file():
        raise InputError(f"{folder}: not a run folder (no config.yaml): give the --out of a tools/fit_scenes.py run")
    values = load_yaml(config)
    source, experiment = parse_config(apply_overrides(values, overrides), str(config))
    largest = parse_config(values, str(config))[1].field if experiment.sizes != SizesConfig() else experiment.field
    step, tensors = load_checkpoint(folder, warn)
    own = generator_tensors(tensors)
    try:
        with no_larger_than(sum(value.numel() for value in own.values())):
            generator = Generator(replace(experiment.generator, field=largest))
        generator.load_state_dict(own)
        code, image = _mean_code(generator, tensors), tensors["mean_image"]
        if image.ndim != 3 or image.shape[-1] != 3:
            raise InputError(f"mean_image has shape {list(image.shape)}, not [height, width, 3]")
    except (InputError, RuntimeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{folder}: the checkpoint does not fit config.yaml ({reason}): train anew in another --out") from None
    generator.write(experiment.field)
    return Run(folder, source, experiment, generator.eval().requires_grad_(False), code, image, step)


def _mean_code(generator: Generator, tensors: Mapping[str, Tensor]) -> SceneCode:
    """The checkpoint's mean code. Raises `KeyError` or `InputError` when it is not one of this generator's."""
    shapes: dict[str, tuple[int, ...]] = {"latent": (1, generator.config.hypernetwork.latent)}
    if generator.lift is not None:
        lifted = generator.lift.shape
        shapes |= {"learned": (1, lifted.features, *(lifted.size,) * 3), "seen": (1, lifted.places, lifted.colors)}
    parts = {name: tensors[f"mean_code.{name}"] for name in shapes}
    for name, shape in shapes.items():
        if tuple(parts[name].shape) != shape:
            raise InputError(f"mean_code.{name} has shape {list(parts[name].shape)}, not {list(shape)}")
    return SceneCode(parts["latent"], Lifted(parts["learned"], parts["seen"]) if generator.lift is not None else None)


def from_pretrained(name: Path | str) -> Run:
    """A model as it was handed on: the folder of a run or of tools/export_model.py, `pretrained:NAME`, or `hub:OWNER/NAME`.

    A folder is read without any network. `.generator` maps context images to field weights; see `tools/reconstruct.py`.
    """
    return load_run(name)


def load_scenes(source: SourceConfig, split: Split, transform: SceneTransform | None) -> list[StoredScene]:
    """All usable scenes of a split, brought into the scene sphere if `transform` is given; unusable ones are named."""
    opened = open_source(source)
    views = load_split(opened, source, split, on_problem=warn)
    stored = [store_scene(v) for v in tracked(views, f"load {split} scenes", len(opened.scene_ids(split)))]
    return stored if transform is None else normalized(stored, transform)

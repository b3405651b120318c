"""The types that cross module borders. All are frozen; tensors in them are never written to.

Conventions, used everywhere without repeating:

* cameras: OpenCV axes (x right, y down, z forward), camera-to-world 4x4, intrinsics in pixels, pixel centers at +0.5;
* images: float32 in [0, 1], in the files' own (display) encoding, composited over a known background color;
* depth: distance along the unit-length ray, in the units of the camera positions, 0 where nothing is hit;
* scene sphere: after normalisation the object lies in the unit sphere at the origin; density is in 1/unit of that space.

Dimension names in the annotations: `scene`, `view`, `ray`, `sample`, `height`, `width`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

MAX_MESSAGE = 1000  # characters


class InputError(Exception):
    """Bad input from the user: the message is one line that names the file or key and the mend. Commands exit with 2."""

    def __str__(self) -> str:
        """One line of bounded length that any terminal can show: names and values of strangers' files are quoted in it."""
        line = " ".join(super().__str__().split())
        line = line if len(line) <= MAX_MESSAGE else f"{line[: MAX_MESSAGE // 2]} … {line[-MAX_MESSAGE // 2 :]}"
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def require_within(section: str, config: object, limits: Mapping[str, tuple[int, int]]) -> None:
    """Raises `InputError` unless each named field of `config` lies within its limits, both included."""
    for name, (low, high) in limits.items():
        if not low <= getattr(config, name) <= high:
            raise InputError(f"{section}.{name} must be in {low}..{high}, not {getattr(config, name)}")


@dataclass(frozen=True)
class Cameras:
    """Pinhole cameras of one image size, with any batch shape.

    `camera_to_world` is rigid (a rotation and a translation); `intrinsics` is fx, fy, cx, cy in pixels, so that pixel
    (row i, column j) is seen along ((j + 0.5 - cx) / fx, (i + 0.5 - cy) / fy, 1) in camera axes.
    """

    camera_to_world: Float[Tensor, "*batch 4 4"]
    intrinsics: Float[Tensor, "*batch 4"]
    height: int
    width: int

    def __getitem__(self, index) -> Cameras:
        return replace(self, camera_to_world=self.camera_to_world[index], intrinsics=self.intrinsics[index])

    def __len__(self) -> int:
        return self.intrinsics.shape[0]

    @property
    def positions(self) -> Float[Tensor, "*batch 3"]:
        return self.camera_to_world[..., :3, 3]

    def resized(self, height: int, width: int) -> Cameras:
        """The same views in images of another size."""
        scale = torch.tensor([width / self.width, height / self.height] * 2, device=self.intrinsics.device)
        return Cameras(self.camera_to_world, self.intrinsics * scale, height, width)

    def to(self, device: torch.device | str) -> Cameras:
        return replace(self, camera_to_world=self.camera_to_world.to(device), intrinsics=self.intrinsics.to(device))


@dataclass(frozen=True)
class SceneViews:
    """Posed images of one scene, in the units and axes of its source."""

    scene_id: str
    cameras: Cameras  # batch shape [view]
    images: Float[Tensor, "view height width 3"]
    background: Float[Tensor, " 3"]
    masks: Float[Tensor, "view height width"] | None = None  # coverage by the object
    depths: Float[Tensor, "view height width"] | None = None
    times: Float[Tensor, " view"] | None = None  # of scenes that move, from 0 to 1

    def __len__(self) -> int:
        return self.images.shape[0]

    def __getitem__(self, index) -> SceneViews:
        """A subset of the views: `index` is a slice or a list of view numbers."""
        return replace(
            self,
            cameras=self.cameras[index],
            images=self.images[index],
            masks=None if self.masks is None else self.masks[index],
            depths=None if self.depths is None else self.depths[index],
            times=None if self.times is None else self.times[index],
        )


@dataclass(frozen=True)
class SceneTransform:
    """The similarity between a user's coordinates and the scene sphere: user = center + radius * normalised."""

    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.radius < math.inf:
            raise InputError(f"the scene sphere's radius must be positive and finite, not {self.radius}: set source.radius")
        if not all(map(math.isfinite, self.center)):
            raise InputError(f"the scene sphere's center must be finite, not {self.center}: set source.center")


@dataclass(frozen=True)
class RayBundle:
    """Rays with unit-length directions."""

    origins: Float[Tensor, "*batch 3"]
    directions: Float[Tensor, "*batch 3"]

    def __getitem__(self, index) -> RayBundle:
        return RayBundle(self.origins[index], self.directions[index])

    def to(self, device: torch.device | str) -> RayBundle:
        return RayBundle(self.origins.to(device), self.directions.to(device))


@dataclass(frozen=True)
class RaySamples:
    """Points along rays and the length of ray each stands for (both in units of the scene sphere)."""

    distances: Float[Tensor, "*batch sample"]
    lengths: Float[Tensor, "*batch sample"]


@dataclass(frozen=True)
class FieldOutput:
    """What a radiance field says of points: density >= 0 in 1/unit, color in [0, 1]."""

    density: Float[Tensor, "*batch"]
    color: Float[Tensor, "*batch 3"]


@dataclass(frozen=True)
class RenderOutput:
    """What a ray sees: color over the background, opacity in [0, 1], depth (expected distance where opaque, else 0)."""

    color: Float[Tensor, "*batch 3"]
    opacity: Float[Tensor, "*batch"]
    depth: Float[Tensor, "*batch"]


@dataclass(frozen=True)
class ContextViews:
    """What a generator reads of scenes: the same number of posed images of each, in scene-sphere coordinates."""

    images: Float[Tensor, "scene view height width 3"]
    cameras: Cameras  # batch shape [scene, view]
    background: Float[Tensor, "scene 3"]

    def __getitem__(self, index) -> ContextViews:
        """A part, or another order, of the scenes."""
        return ContextViews(self.images[index], self.cameras[index], self.background[index])

    def to(self, device: torch.device | str) -> ContextViews:
        return ContextViews(self.images.to(device), self.cameras.to(device), self.background.to(device))


@dataclass(frozen=True)
class SceneBatch:
    """One training step's data, in scene-sphere coordinates: context views to read, target rays to be right about."""

    context: ContextViews
    target_rays: RayBundle  # batch shape [scene, ray]
    target_colors: Float[Tensor, "scene ray 3"]
    target_importance: Float[Tensor, "scene ray"]  # how much each counts, so that all pixels of a view count alike: about 1
    target_masks: Float[Tensor, "scene ray"] | None
    hull_points: Float[Tensor, "scene point 3"] | None = None  # in the unit sphere
    hull_inside: Float[Tensor, "scene point"] | None = None  # 1 in the visual hull of all the scene's views, 0 outside
    scene_ids: tuple[str, ...] = ()  # for messages
    times: Float[Tensor, " scene"] | None = None  # of the targets, where scenes move; their context is of time 0

    def every(self, count: int, first: int) -> SceneBatch:
        """Of each scene, every `count`-th target ray and point of the hull from the `first` on."""
        asked = (slice(None), slice(first, None, count))
        masks, points, inside = self.target_masks, self.hull_points, self.hull_inside
        return replace(
            self,
            target_rays=self.target_rays[asked],
            target_colors=self.target_colors[asked],
            target_importance=self.target_importance[asked],
            target_masks=None if masks is None else masks[asked],
            hull_points=None if points is None else points[asked],
            hull_inside=None if inside is None else inside[asked],
        )

    def to(self, device: torch.device | str) -> SceneBatch:
        """The whole batch on a device."""
        return SceneBatch(**{f.name: _moved(getattr(self, f.name), device) for f in fields(self)})


def _moved(value, device: torch.device | str):
    return value if value is None or isinstance(value, tuple) else value.to(device)

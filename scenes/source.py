"""Where posed images come from: one protocol, one registry, one place where scenes are checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal, Protocol

import torch

from hypernerf.geometry import is_rigid
from hypernerf.types import Cameras, InputError, SceneTransform, SceneViews

Split = Literal["train", "val", "test"]
MAX_DISTANCE = 1e8  # of a camera from the origin: beyond, float32 cannot tell neighbors apart, and squares overflow
MAX_ASPECT = 1e4  # of focal lengths and centers in image sizes, either way: from fields of view of 0.01 degrees to 179.99
SPLITS: tuple[Split, ...] = ("train", "val", "test")
MAX_SIDE = 16384  # pixels along an image's side


class SceneError(InputError):
    """One scene is unusable; the message names the file and the reason. Loaders skip it, up to `max_bad_scenes`."""


@dataclass(frozen=True)
class Reading:
    """How files become views, whatever their format. Scenes that are made on the fly have their own keys instead."""

    image_size: int | None = None  # pixels along a side: images are made square and scaled to it as they are read
    # how: their middle is taken, background is added, or they are turned so that the scene sphere just fits
    square: Literal["crop", "pad", "frame"] = "crop"
    integer_centers: bool = False  # the files' cx, cy count from pixel centers, not from the image's corner
    flip_axes: bool = False  # the files' cameras look along -z (y up) where the format says +z (y down), or the reverse
    invert_poses: bool = False  # the files' poses are world-to-camera where the format says camera-to-world, or the reverse
    align: bool | None = None  # move and scale each scene into the scene sphere, upright; None: where the format has no frame
    center: tuple[float, float, float] | None = None  # scene sphere; None: estimated once from the training cameras
    radius: float | None = None
    near: float | None = None  # near/far: the other usual way to say it, for cameras around the origin:
    far: float | None = None  # the sphere then has radius (far - near) / 2 and its center at the origin
    up: tuple[float, float, float] | None = None  # for turntables; None: what is up in the training images
    follow_links: bool = False  # links in a scene's folder may lead out of it; set it if you made them

    def __post_init__(self) -> None:
        if self.image_size is not None and not 1 <= self.image_size <= MAX_SIDE:
            raise InputError(f"source.image_size must lie between 1 and {MAX_SIDE}, not {self.image_size}")
        if (self.near is None) != (self.far is None):
            raise InputError("source.near and source.far go together: give both or neither")
        if self.near is not None and self.far is not None and not 0 <= self.near < self.far:
            raise InputError(f"source.near must be >= 0 and below source.far, not {self.near} and {self.far}")
        if self.radius is not None and not self.radius > 0:
            raise InputError(f"source.radius must be positive, not {self.radius}")

    @property
    def sphere(self) -> SceneTransform | None:
        """The scene sphere that the configuration states, or that scenes are aligned to; None if it is to be estimated."""
        if self.radius is not None:
            return SceneTransform(self.center or (0.0, 0.0, 0.0), self.radius)
        if self.near is not None and self.far is not None:
            return SceneTransform(self.center or (0.0, 0.0, 0.0), (self.far - self.near) / 2)
        return SceneTransform(self.center or (0.0, 0.0, 0.0)) if self.align else None


# what is said of a scene rather than of how its files are read
OF_SCENES = ("center", "radius", "near", "far", "up", "follow_links")


def changed_reading(reading: Reading) -> list[str]:
    """Keys that say how files are read and are not as they are by default: for sources that would ignore them."""
    return [f.name for f in fields(Reading) if f.name not in OF_SCENES and getattr(reading, f.name) != f.default]


@dataclass(frozen=True)
class SourceConfig(Reading):
    """What every source understands. Sources add their own keys by subclassing."""

    name: str = "procedural"
    root: str | None = None  # folder (or common prefix) the scenes are read from; embedded sources need none
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)  # what transparent and masked pixels are composited over
    min_views: int = 4  # scenes with fewer views are refused
    max_bad_scenes: int = 10  # more unusable scenes than this in a split stop the run

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= value <= 1 for value in self.background):
            raise InputError(f"source.background must lie in 0..1, not {self.background}")


class SceneSource(Protocol):
    """A collection of scenes. Whole splits are loaded by several processes, each with a pickled copy of the source."""

    def scene_ids(self, split: Split) -> list[str]:
        """Names of the scenes of one split, in a fixed order. Splits share no scene."""
        ...

    def load(self, scene_id: str) -> SceneViews:
        """One scene, in the source's own units. Raises `SceneError` when its files are not usable."""
        ...


Factory = Callable[..., SceneSource]
_REGISTRY: dict[str, tuple[type[SourceConfig], Factory]] = {}


def register_source(name: str, config: type[SourceConfig]) -> Callable[[Factory], Factory]:
    """Class decorator: makes a source known under `source.name`, built from its own config type."""

    def add(factory: Factory) -> Factory:
        _REGISTRY[name] = (config, factory)
        return factory

    return add


def source_names() -> list[str]:
    return sorted(_REGISTRY)


def source_config_type(name: str) -> type[SourceConfig]:
    """The config dataclass of the source called `name`. Raises `InputError` that lists the known names."""
    if name not in _REGISTRY:
        raise InputError(f"unknown source.name {name!r}: choose one of {', '.join(source_names())}")
    return _REGISTRY[name][0]


def open_source(config: SourceConfig) -> SceneSource:
    """The source that `config` describes. Raises `InputError` when its root is missing or holds no scene."""
    source_config_type(config.name)
    return _REGISTRY[config.name][1](config)


def check_scene(views: SceneViews, min_views: int = 1) -> SceneViews:
    """`views` itself if it can be trained on.

    Raises:
        SceneError: too few views, sizes that differ, values that are not finite or outside [0, 1], poses that are not
            rigid, intrinsics that are not a camera's, or images that show nothing but background in every view.
    """
    name, cameras, images = views.scene_id, views.cameras, views.images
    if len(views) < min_views:
        raise SceneError(f"{name}: {len(views)} views, at least {min_views} needed (source.min_views)")
    if len(cameras) != len(views) or (cameras.height, cameras.width) != tuple(images.shape[1:3]):
        raise SceneError(
            f"{name}: {len(cameras)} cameras of {cameras.height}x{cameras.width} for images of {tuple(images.shape)}"
        )
    for what, tensor in (("image", images), ("mask", views.masks)):
        if tensor is not None and not bool(((tensor >= 0) & (tensor <= 1)).all()):
            raise SceneError(f"{name}: {what} values outside [0, 1] or not finite")
    check_cameras(name, cameras)
    if bool(((images - views.background).abs().amax(-1) < 2 / 255).all()):
        raise SceneError(f"{name}: every view shows nothing but the background")
    return views


def check_cameras(name: str, cameras: Cameras) -> None:
    """Raises `SceneError` unless all cameras [view] could have taken an image of this world: see `check_scene`."""
    rigid = is_rigid(cameras.camera_to_world) & (cameras.positions.abs() <= MAX_DISTANCE).all(-1)
    if not bool(rigid.all()):
        raise SceneError(
            f"{name}: the pose of view {int((~rigid).nonzero()[0])} is not finite and rigid (rotation + translation)"
        )
    focal, center = cameras.intrinsics[..., :2], cameras.intrinsics[..., 2:]
    size = torch.tensor([cameras.width, cameras.height])
    if not bool(torch.isfinite(cameras.intrinsics).all()) or not bool((focal > 0).all()):
        raise SceneError(f"{name}: intrinsics must be finite with positive focal lengths")
    focal, center = focal / size, (center / size).abs()
    if not bool(((focal >= 1 / MAX_ASPECT) & (focal <= MAX_ASPECT) & (center <= MAX_ASPECT)).all()):
        raise SceneError(f"{name}: intrinsics are no camera's: a focal length or center is {MAX_ASPECT:g} times the image's size")

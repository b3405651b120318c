"""What is wrong with how a scene's files are read, and which setting mends it: axes, frames, pixel centers, masks, borders.

A scene is read as the settings say. Where masks are there, the silhouettes judge the cameras: the hull of them all must fill
each one. Without masks, optical axes must meet in front of the cameras.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from hypernerf.geometry import nearest_point, project
from hypernerf.types import Cameras, InputError, SceneTransform, SceneViews

from .align import object_sphere
from .folders import IMAGES
from .images import image_size
from .source import Reading, SourceConfig
from .views import Frame

GRID = 32  # points along an edge of the cube that the hull is looked for in
CELLS = 12  # a silhouette is compared with the hull's in so many cells along a side
AGREES = 0.8  # share of a silhouette that the hull fills: 0.95 and more with right cameras, 0.5 and less with wrong axes
LOOKS = 0.9  # mean cosine between optical axes and the way to where they meet: objects fill a third of a view or more
OTHER_PHOTOS = (".heic", ".heif", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".dng", ".cr2", ".nef", ".arw")


@dataclass(frozen=True)
class Trap:
    """Something that spoils results without failing, and the setting (or the work) that mends it."""

    what: str
    mend: str


def find_traps(
    folder: Path, views: SceneViews, frames_of: Callable[[Path, Reading], list[Frame]] | None, config: SourceConfig,
    sphere: SceneTransform | None = None,
) -> list[Trap]:  # fmt: skip
    """All traps of one scene, read as `config` says.

    Args:
        frames_of: lists the folder's images, unread; None: they have no cameras.
        sphere: where objects should be; None: anywhere.
    """
    if frames_of is None:
        return [*_file_traps(folder, None, config), *_mask_traps(views, None, config)]
    frames = frames_of(folder, config)
    traps = [*_file_traps(folder, frames, config), *_mask_traps(views, frames, config), *_center_traps(frames, config)]
    wrong = _better_axes(views, lambda reading: frames_of(folder, reading), config)
    return [*traps, *([wrong] if wrong is not None else _frame_traps(views, config, sphere))]


def _file_traps(folder: Path, frames: Sequence[Frame] | None, config: SourceConfig) -> list[Trap]:
    places = {folder} if frames is None else {frame.image.parent for frame in frames}
    left = [p.name for place in sorted(places) for p in sorted(place.iterdir()) if p.suffix.lower() in OTHER_PHOTOS]
    traps = []
    if left:
        traps.append(Trap(f"{len(left)} photos are not read ({left[0]} …)", f"convert them to {' '.join(IMAGES)}"))
    if frames is None or config.image_size is not None:
        return traps
    sizes = sorted({image_size(frame.image) for frame in frames})
    if len(sizes) > 1:
        traps.append(Trap(f"images of {len(sizes)} sizes", "--source.image_size 128"))
    elif sizes[0][0] != sizes[0][1]:
        what = f"images are {sizes[0][1]}x{sizes[0][0]}, models read square ones"
        traps.append(Trap(what, "--source.image_size 128 (the middle is taken; --source.square pad keeps everything)"))
    return traps


def _mask_traps(views: SceneViews, frames: Sequence[Frame] | None, config: SourceConfig) -> list[Trap]:
    traps = []
    masked = 0 if frames is None else sum(frame.mask is not None for frame in frames)
    if frames is not None and 0 < masked < len(frames) and views.masks is None:
        traps.append(Trap(f"only {masked} of {len(frames)} images have a mask, so that none is used", "add the missing masks"))
    if views.masks is None:
        traps += _background_traps(views)
        return traps
    shown = views.masks > 0.5
    empty = int((~shown.flatten(1).any(1)).sum())
    if empty:
        traps.append(Trap(f"{empty} of {len(views)} masks are empty", "leave these views out, or mend their masks"))
    border = torch.cat([shown[:, 0], shown[:, -1], shown[:, :, 0], shown[:, :, -1]], dim=1).any(1)
    if bool(border.any()):
        height, width = (1, 1) if frames is None else image_size(frames[0].image)
        mend = (
            "--source.square pad, if making images square does it; else " if config.square == "crop" and height != width else ""
        )
        what = f"the object is cut off by the image's border in {int(border.sum())} of {len(views)} views"
        traps.append(Trap(what, f"{mend}leave these views out"))
    return traps


def _background_traps(views: SceneViews) -> list[Trap]:
    """Without masks, what is around the object must be of the background's color."""
    images = views.images
    border = torch.cat([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], dim=1).flatten(0, 1)
    color = border.median(0).values
    if float(((border - color).abs().amax(-1) < 0.04).float().mean()) < 0.8:
        mend = "cut the object out: images with an alpha channel, or black-and-white masks (docs/formats.md)"
        return [Trap("no masks, and the object stands before a background that is not plain", mend)]
    if float((color - views.background).abs().amax()) > 0.04:
        values = " ".join(f"{value:.2f}" for value in color.tolist())
        return [Trap("no masks, and the background has another color than the one stated", f"--source.background {values}")]
    return []


def _center_traps(frames: Sequence[Frame], config: Reading) -> list[Trap]:
    """Principal points at (size - 1) / 2 are the middle, counted from pixel centers."""
    for frame in frames:
        height, width = image_size(frame.image)
        lens = frame.lens(height, width)
        if max(abs(lens.cx - (width - 1) / 2), abs(lens.cy - (height - 1) / 2)) > 1e-3 * 0.5:
            return []
    if config.integer_centers:
        return [Trap("principal points lie half a pixel off the middle", "leave out --source.integer_centers")]
    return [Trap("principal points count from pixel centers, half a pixel off the middle", "--source.integer_centers true")]


def _frame_traps(views: SceneViews, config: SourceConfig, sphere: SceneTransform | None) -> list[Trap]:
    """Where the object is, how large, and which way is up."""
    try:
        own = object_sphere(views)
    except InputError as error:
        return [Trap(str(error).partition(":")[0], "--source.center X Y Z --source.radius R")]
    traps = [] if sphere is None else _sphere_traps(own, sphere, views.masks is not None)
    traps = traps or _framing_traps(views, config.sphere or own)
    up = -views.cameras.camera_to_world[:, :3, 1].mean(0)
    if float(up.norm()) > 0.3 and float(up[2] / up.norm()) < 0.7 and config.up is None:
        axis = "xyz"[int(up.abs().argmax())]
        sign = "-" if up["xyz".index(axis)] < 0 else "+"
        mend = "--source.align true for a model that was trained on scenes with z up, as those that we draw"
        traps.append(Trap(f"up in the images is about {sign}{axis}, not +z", mend))
    return traps


def _sphere_traps(own: SceneTransform, sphere: SceneTransform, masked: bool) -> list[Trap]:
    """Without masks `own` is what the cameras show, of which only the middle tells of the object."""
    offset = float((torch.tensor(own.center) - torch.tensor(sphere.center)).norm()) / sphere.radius
    size, numbers = own.radius / sphere.radius, " ".join(f"{value:.3g}" for value in own.center)
    mend = f"--source.align true, or for this scene --source.center {numbers} --source.radius {own.radius:.3g}"
    if offset > 0.5 or (masked and offset + size > 1.6):
        what = f"the object lies {offset:.2f} radii off the scene sphere's center and is {size:.2f} of it in size"
        return [Trap(what, mend)]
    return [Trap(f"the object is {size:.2f} of the scene sphere in size", mend)] if masked and size < 0.5 else []


def _framing_traps(views: SceneViews, sphere: SceneTransform) -> list[Trap]:
    """How much of the images' shorter side the sphere takes, and how far off the middle it is."""
    cameras = views.cameras
    center = torch.tensor(sphere.center)
    distance = (cameras.positions - center).norm(dim=-1)
    sine = (sphere.radius / distance).clamp(max=0.99)
    share = cameras.intrinsics[:, :2].mean(-1) * 2 * sine / (1 - sine**2).sqrt() / min(cameras.height, cameras.width)
    off = (project(center[None], cameras)[:, 0] - 0.5).norm(dim=-1)
    if bool(((share > 0.9) & (share < 1.1) & (off < 0.03)).float().mean() > 0.7):
        return []
    what = f"the scene sphere takes {float(share.median()):.2f} of the images' side, {float(off.median()):.2f} off their middle"
    mend = "--source.image_size 64 --source.square frame, for a model that was trained on scenes that fill their images"
    return [Trap(what, mend)]


def _better_axes(views: SceneViews, frames_of: Callable[[Reading], list[Frame]], config: SourceConfig) -> Trap | None:
    """Whether other axes, or inverted poses, would make sense of cameras that make none."""
    here = _agreement(views)
    if here > (AGREES if views.masks is not None else LOOKS):
        return None
    flip, invert = not config.flip_axes, not config.invert_poses
    ways = [replace(config, flip_axes=flip), replace(config, invert_poses=invert)]
    ways.append(replace(config, flip_axes=flip, invert_poses=invert))
    scores = []
    for way in ways:
        poses = torch.stack([frame.pose for frame in frames_of(way)]).float()
        scores.append(_agreement(replace(views, cameras=replace(views.cameras, camera_to_world=poses))))
    score, best = max(scores), ways[scores.index(max(scores))]
    what = f"{'silhouettes' if views.masks is not None else 'optical axes'} do not meet ({here:.2f} of 1"
    if score > max(here + 0.2, 0.6):
        changed = [key for key in ("flip_axes", "invert_poses") if getattr(best, key) != getattr(config, key)]
        flags = " ".join(f"--source.{key} {str(getattr(best, key)).lower()}" for key in changed)
        return Trap(f"{what}, {score:.2f} with other axes)", flags)
    mend = "look at the picture: poses, intrinsics or masks are wrong, and no other axes make sense of them"
    return Trap(f"{what})", mend) if here < 0.6 else None


def _agreement(views: SceneViews) -> float:
    """How well cameras and images go together, at most 1; 0 where nothing can be said for them."""
    try:
        if views.masks is None:
            return max(0.0, _looking_inward(views.cameras))
        return silhouette_agreement(views, object_sphere(views))
    except InputError:
        return 0.0


def _looking_inward(cameras: Cameras) -> float:
    """The mean cosine between optical axes and the way to the point where they meet; -1 if they look away from it."""
    axes, origins = cameras.camera_to_world[:, :3, 2].double(), cameras.positions.double()
    toward = nearest_point(origins, axes) - origins
    distance = toward.norm(dim=-1)
    if float(distance.median()) < 1e-4 * (1 + float(origins.norm(dim=-1).max())):
        return 0.0  # all stand at one place
    return float(((toward * axes).sum(-1) / distance.clamp_min(1e-12)).mean())


def silhouette_agreement(views: SceneViews, sphere: SceneTransform) -> float:
    """The share of the silhouettes that the hull of them all fills, on average over the views; 1 with right cameras."""
    assert views.masks is not None
    line = (torch.arange(GRID) + 0.5) / GRID * 2 - 1
    points = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
    points = points * sphere.radius + torch.tensor(sphere.center)
    places = project(points, views.cameras)  # [view, point, 2], shares of the image
    seen = torch.nn.functional.max_pool2d(views.masks[:, None], 3, 1, 1)  # a pixel's leeway
    values = torch.nn.functional.grid_sample(seen, places[:, None] * 2 - 1, align_corners=False)[:, 0, 0]
    unseen = ((places < 0) | (places > 1)).any(-1) & (places < 9).all(-1)  # in front of a camera, but not in its image
    hull = ((values > 0.3) | unseen).all(0) & ((values > 0.3).float().mean(0) > 0.5)
    return float(torch.stack([_filled(mask, place[hull]) for mask, place in zip(views.masks, places, strict=True)]).mean())


def _filled(mask: Float[Tensor, "height width"], places: Float[Tensor, "point 2"]) -> Float[Tensor, ""]:
    cells = torch.nn.functional.adaptive_avg_pool2d(mask[None], CELLS)[0] > 0.5
    hit = torch.zeros(CELLS, CELLS, dtype=torch.bool)
    column, row = (places * CELLS).long().clamp(0, CELLS - 1).unbind(-1)
    hit[row, column] = True
    return (cells & hit).sum() / cells.sum().clamp_min(1)

"""From the frames that a format lists to the views of a scene: read, undistorted, masked, brought to size, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from hypernerf.geometry import from_opengl
from hypernerf.types import Cameras, InputError, SceneTransform, SceneViews

from .align import aligned, object_sphere
from .distortion import Lens, undistorted
from .framing import framed
from .images import image_size, read_image, read_mask
from .source import Reading, SceneError, check_cameras

MAX_SCENE_PIXELS = 1 << 29  # 8 GB as float32 with masks; NeRF-synthetic scenes have half of it
ASPECT = 0.02  # images whose shape differs by more than this share from the one their intrinsics are for are other images


@dataclass(frozen=True)
class Frame:
    """One image of a scene, not yet read."""

    image: Path
    pose: Float[Tensor, "4 4"]  # camera-to-world, OpenCV axes, float64
    lens: Callable[[int, int], Lens]  # of the image, once its height and width are known
    mask: Path | None = None  # an image that is black where `image` shows no object


def camera_pose(stated: Float[Tensor, "*batch 4 4"], reading: Reading, *, opengl: bool) -> Float[Tensor, "*batch 4 4"]:
    """A file's rigid camera-to-world matrix in OpenCV axes. `opengl` says what the format states; `reading` corrects it."""
    pose = torch.linalg.inv(stated) if reading.invert_poses else stated
    return from_opengl(pose) if opengl != reading.flip_axes else pose


def stated_lens(lens: Lens, stated: tuple[float, float], height: int, width: int, where: str, integer_centers: bool) -> Lens:
    """A lens that is stated for `stated` = (height, width) pixels, for an image of another size.

    Raises:
        SceneError: the image is of another shape, so that it cannot be the same one, only larger or smaller.
    """
    y, x = height / stated[0], width / stated[1]
    if abs(x / y - 1) > ASPECT:
        raise SceneError(
            f"{where}: an image of {height}x{width} with intrinsics for {stated[0]:g}x{stated[1]:g}: was it turned or cropped?"
        )
    shift = 0.5 if integer_centers else 0.0
    return lens.moved(shift, shift).scaled(x, y)


def scene_of(
    folder: Path, frames: Sequence[Frame], background: tuple[float, float, float], reading: Reading, scene_id: str | None = None,
    *, arbitrary: bool = False,
) -> SceneViews:  # fmt: skip
    """The scene whose images are `frames`; its name is the folder's unless `scene_id` says another.

    Only images of the final size are kept, so that photos of many megapixels may be many. A scene of a format whose
    origin, scale and axes are `arbitrary` is aligned unless `reading` says otherwise.

    Raises:
        SceneError: an image is unusable, sizes differ, all together are absurdly large, or the cameras show no common place.
    """
    if not frames:
        raise SceneError(f"{folder}: lists no images")
    _check_sizes(folder, frames, reading)
    align = arbitrary if reading.align is None else reading.align
    name, sphere = scene_id or folder.resolve().name, None
    if reading.square == "frame" and reading.image_size is not None:
        sphere = reading.sphere if not align else _own_sphere(name, frames, background, reading)
        if sphere is None:
            raise SceneError(f"{folder}: source.square frame needs the scene sphere: set source.radius, or source.align true")
    views = _stacked(name, [_read(frame, background, reading, sphere) for frame in frames], background)
    return aligned(views, reading) if align else views


def _own_sphere(name: str, frames: Sequence[Frame], background: tuple[float, float, float], reading: Reading) -> SceneTransform:
    """Where the object is in the files' world, from whole images."""
    views = _stacked(name, [_read(frame, background, replace(reading, square="pad"), None) for frame in frames], background)
    check_cameras(name, views.cameras)
    try:
        return object_sphere(views)
    except InputError as error:
        raise SceneError(f"{name}: {error}") from None


@dataclass(frozen=True)
class _View:
    image: Float[Tensor, "height width 3"]
    mask: Float[Tensor, "height width"] | None
    lens: Lens
    pose: Float[Tensor, "4 4"]


def _stacked(name: str, read: Sequence[_View], background: tuple[float, float, float]) -> SceneViews:
    height, width = read[0].image.shape[:2]
    lenses = torch.tensor([view.lens.values for view in read], dtype=torch.float32)
    cameras = Cameras(torch.stack([view.pose for view in read]).float(), lenses, height, width)
    known = [view.mask for view in read if view.mask is not None]
    alpha = torch.stack(known) if len(known) == len(read) else None
    return SceneViews(name, cameras, torch.stack([view.image for view in read]), torch.tensor(background), alpha)


def _check_sizes(folder: Path, frames: Sequence[Frame], reading: Reading) -> None:
    """Looks at all sizes before a pixel is read. Raises `SceneError` as `scene_of`."""
    if reading.image_size is not None:
        sizes = [(reading.image_size, reading.image_size)] * len(frames)
    else:
        sizes = [image_size(frame.image) for frame in frames]
    for frame, size in zip(frames, sizes, strict=True):
        if size != sizes[0]:
            here, first = (f"{width}x{height}" for height, width in (size, sizes[0]))
            raise SceneError(
                f"{frame.image}: images of mixed sizes: {here} here, {first} in {frames[0].image.name}: set source.image_size"
            )
    total = sum(height * width for height, width in sizes)
    if total > MAX_SCENE_PIXELS:
        raise SceneError(f"{folder}: {len(frames)} images of {total} pixels together are too many: set source.image_size")


def _read(frame: Frame, background: tuple[float, float, float], reading: Reading, sphere: SceneTransform | None) -> _View:
    """The image at its final size; around `sphere` where it is given."""
    image, mask = read_image(frame.image, background)
    height, width = image.shape[:2]
    if frame.mask is not None:
        shown = read_mask(frame.mask, height, width)
        image = image * shown[..., None] + torch.tensor(background) * (1 - shown[..., None])
        mask = shown if mask is None else mask * shown
    lens, pose = frame.lens(height, width), frame.pose
    try:
        if lens.distortion is not None:
            planes, lens = undistorted(_planes(image, mask), lens)
            image, mask = _image(planes)
        if sphere is not None and reading.image_size is not None:
            planes, lens, pose = framed(_planes(image, mask), lens, pose, sphere, background, reading.image_size)
            return _View(*_image(planes), lens, pose)
    except InputError as error:
        raise SceneError(f"{frame.image}: {error}") from None
    if reading.image_size is not None:
        image, mask = square_image(image, mask, background, reading.square, reading.image_size)
        side = min(height, width) if reading.square == "crop" else max(height, width)
        scale = reading.image_size / side
        lens = lens.moved((side - width) // 2, (side - height) // 2).scaled(scale, scale)
    return _View(image, mask, lens, pose)


def square_image(
    image: Float[Tensor, "height width 3"],
    mask: Float[Tensor, "height width"] | None,
    background: tuple[float, float, float],
    how: str,
    size: int,
) -> tuple[Float[Tensor, "size size 3"], Float[Tensor, "size size"] | None]:
    """The square in the middle (`crop`), or the least one around (`pad`, filled with background); then scaled, antialiased."""
    planes = _planes(image, mask)
    height, width = planes.shape[1:]
    side = min(height, width) if how == "crop" else max(height, width)
    down, right = (side - height) // 2, (side - width) // 2  # rows and columns added before the first; negative: cropped
    if how == "crop":
        planes = planes[:, -down : side - down, -right : side - right]
    else:
        filled = torch.tensor([*background, 0.0])[: len(planes), None, None].repeat(1, side, side)
        filled[:, down : down + height, right : right + width] = planes
        planes = filled
    if side != size:
        planes = torch.nn.functional.interpolate(planes[None], (size, size), mode="bilinear", antialias=True)[0].clamp(0, 1)
    return _image(planes)


def _planes(
    image: Float[Tensor, "height width 3"], mask: Float[Tensor, "height width"] | None
) -> Float[Tensor, "channel height width"]:
    parts = [image] if mask is None else [image, mask[..., None]]
    return torch.cat(parts, dim=-1).permute(2, 0, 1)


def _image(
    planes: Float[Tensor, "channel height width"],
) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"] | None]:
    return planes[:3].permute(1, 2, 0).contiguous(), planes[3].contiguous() if len(planes) == 4 else None

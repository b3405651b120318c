"""Reading image files, with errors that name the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from hypernerf.reading import open_regular

from .png import lacks_pixels
from .source import SceneError

FORMATS = ("PNG", "JPEG", "WEBP")  # Pillow's other decoders are rarely needed here, and some start programs
MAX_BYTES = 1 << 28
MAX_PIXELS = 64_000_000  # beyond any camera's image; a small file that claims more is a decompression bomb
MAX_SCENE_PIXELS = 1 << 29  # 8 GB as float32 with masks; NeRF-synthetic scenes have half of it


def read_image(
    path: Path, background: tuple[float, float, float]
) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"] | None]:
    """An image composited over `background`, and its alpha channel as coverage (None when it has none).

    Raises:
        SceneError: the file is missing, truncated, no image, or absurdly large.
    """
    with _opened(path, whole=True) as image:
        transparent = "A" in image.getbands() or "transparency" in image.info
        pixels = np.asarray(image.convert("RGBA" if transparent else "RGB"), dtype=np.float32) / 255.0
    values = torch.from_numpy(pixels)
    if not transparent:
        return values, None
    alpha = values[..., 3]
    return values[..., :3] * alpha[..., None] + torch.tensor(background) * (1 - alpha[..., None]), alpha


def read_images(
    paths: Sequence[Path], background: tuple[float, float, float]
) -> tuple[Float[Tensor, "view height width 3"], Float[Tensor, "view height width"] | None]:
    """Images of one size, and their coverage if all have an alpha channel. Sizes are looked at before a pixel is read.

    Raises:
        SceneError: as `read_image`, or the sizes differ, or all together are absurdly large.
    """
    sizes = [_size(path) for path in paths]
    for path, size in zip(paths, sizes, strict=True):
        if size != sizes[0]:
            raise SceneError(f"{path}: {size[1]}x{size[0]} pixels among images of mixed sizes ({paths[0].name} has another)")
    total = sum(height * width for height, width in sizes)
    if total > MAX_SCENE_PIXELS:
        raise SceneError(f"{paths[0].parent}: {len(paths)} images of {total} pixels together, more than {MAX_SCENE_PIXELS}")
    images, masks = zip(*(read_image(path, background) for path in paths), strict=True)
    known = [mask for mask in masks if mask is not None]
    return torch.stack(images), torch.stack(known) if len(known) == len(masks) else None


def _size(path: Path) -> tuple[int, int]:
    with _opened(path) as image:
        return image.height, image.width


@contextmanager
def _opened(path: Path, whole: bool = False) -> Iterator[Image.Image]:
    """The image, its size checked, its pixels not yet read. Turns everything that goes wrong inside into `SceneError`.

    With `whole`, that all of its pixels are there is checked too.
    """
    with open_regular(path, MAX_BYTES, SceneError) as file:
        try:
            with Image.open(file, formats=FORMATS) as image:
                if not 0 < image.width * image.height <= MAX_PIXELS:
                    raise SceneError(f"{path}: {image.width}x{image.height} pixels: 1 to {MAX_PIXELS} can be read")
                if whole and lacks_pixels(file):
                    raise SceneError(f"{path}: has fewer pixels than the {image.width}x{image.height} that it claims")
                yield image
        except SceneError:
            raise
        except UnidentifiedImageError:
            raise SceneError(f"{path}: not an image in one of the formats {', '.join(FORMATS)}") from None
        except Exception as error:  # decoders raise whatever the file makes them stumble over
            raise SceneError(f"{path}: cannot be read as an image ({type(error).__name__}: {error})") from None

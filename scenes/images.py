"""Reading image files, with errors that name the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from hypernerf.reading import open_regular

from .png import lacks_pixels
from .source import SceneError

FORMATS = ("PNG", "JPEG", "WEBP")  # Pillow's other decoders are rarely needed here, and some start programs
MAX_BYTES = 1 << 28
MAX_PIXELS = 64_000_000  # beyond any camera's image; a small file that claims more is a decompression bomb


def read_mask(path: Path, height: int, width: int) -> Float[Tensor, "height width"]:
    """A mask file as coverage in [0, 1]: its alpha where it has one, else its brightness; scaled to the image it belongs to.

    Raises:
        SceneError: as `read_image`.
    """
    gray, alpha = read_image(path, (0.0, 0.0, 0.0))
    mask = gray.amax(-1) if alpha is None or bool((alpha == 1).all()) else alpha
    if mask.shape == (height, width):
        return mask
    return torch.nn.functional.interpolate(mask[None, None], (height, width), mode="bilinear", antialias=True)[0, 0].clamp(0, 1)


def read_image(
    path: Path, background: tuple[float, float, float], *, upright: bool = False
) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"] | None]:
    """An image composited over `background`, and its alpha channel as coverage (None when it has none).

    `upright` turns a photo as its camera noted; poses and intrinsics are usually those of the pixels as they lie in the file.

    Raises:
        SceneError: the file is missing, truncated, no image, or absurdly large.
    """
    with _opened(path, whole=True) as image:
        transparent = "A" in image.getbands() or "transparency" in image.info
        turned = ImageOps.exif_transpose(image) if upright else image
        pixels = np.asarray(turned.convert("RGBA" if transparent else "RGB"), dtype=np.float32) / 255.0
    values = torch.from_numpy(pixels)
    if not transparent:
        return values, None
    alpha = values[..., 3]
    return values[..., :3] * alpha[..., None] + torch.tensor(background) * (1 - alpha[..., None]), alpha


def image_size(path: Path) -> tuple[int, int]:
    """Height and width, without the pixels. Raises `SceneError` as `read_image`."""
    with _opened(path) as image:
        return image.height, image.width


@contextmanager
def _opened(path: Path, whole: bool = False) -> Iterator[Image.Image]:
    """The image, its size checked, its pixels not yet read. Turns everything that goes wrong inside into `SceneError`.

    With `whole`, that all of its pixels are there is checked too.
    """
    with open_regular(path, MAX_BYTES, SceneError) as file, decoding(file, str(path), whole) as image:
        yield image


@contextmanager
def decoding(file: BinaryIO, name: str, whole: bool = False, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """As `_opened`, of an open file that messages call `name`."""
    try:
        with Image.open(file, formats=formats) as image:
            if not 0 < image.width * image.height <= MAX_PIXELS:
                raise SceneError(f"{name}: {image.width}x{image.height} pixels: 1 to {MAX_PIXELS} can be read")
            if whole and lacks_pixels(file):
                raise SceneError(f"{name}: has fewer pixels than the {image.width}x{image.height} that it claims")
            yield image
    except SceneError:
        raise
    except UnidentifiedImageError:
        raise SceneError(f"{name}: not an image in one of the formats {', '.join(formats)}") from None
    except Exception as error:  # decoders raise whatever the file makes them stumble over
        raise SceneError(f"{name}: cannot be read as an image ({type(error).__name__}: {error})") from None

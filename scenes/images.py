"""Reading image files, with errors that name the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from .source import SceneError

MAX_PIXELS = 64_000_000  # beyond any camera's image; a small file that claims more is a decompression bomb


def read_image(
    path: Path, background: tuple[float, float, float]
) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"] | None]:
    """An image composited over `background`, and its alpha channel as coverage (None when it has none).

    Raises:
        SceneError: the file is missing, truncated, no image, or absurdly large.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise SceneError(f"{path}: {image.width}x{image.height} pixels is more than {MAX_PIXELS}")
            transparent = "A" in image.getbands() or "transparency" in image.info
            pixels = np.asarray(image.convert("RGBA" if transparent else "RGB"), dtype=np.float32) / 255.0
    except FileNotFoundError:
        raise SceneError(f"{path}: no such image") from None
    except UnidentifiedImageError:
        raise SceneError(f"{path}: not an image") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise SceneError(f"{path}: cannot be read as an image ({error})") from None
    values = torch.from_numpy(pixels)
    if not transparent:
        return values, None
    alpha = values[..., 3]
    return values[..., :3] * alpha[..., None] + torch.tensor(background) * (1 - alpha[..., None]), alpha

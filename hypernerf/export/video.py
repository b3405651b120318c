"""Rendered views as a video, a gif or a folder of pictures."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray as Array
from PIL import Image

from ..files import write_atomically
from ..types import InputError


def save_frames(path: Path | str, frames: UInt8[Array, "frame height width 3"], fps: int = 20) -> None:
    """FILE.mp4, FILE.gif, or (no suffix) a folder of 0000.png …; whole or not at all.

    Raises:
        InputError: another suffix, a place that cannot be written to, or mp4 without imageio-ffmpeg.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in ("", ".mp4", ".gif"):
        raise InputError(f"{path}: unknown format {suffix!r}: use FILE.mp4, FILE.gif or a folder")
    if suffix == "":
        _save_folder(path, frames)
        return
    try:
        write_atomically(path, lambda place: _save_video(place, suffix, frames, fps))
    except ImportError:
        raise InputError(f"{path}: writing mp4 needs imageio-ffmpeg (pip install imageio-ffmpeg): or write a .gif") from None


def _save_video(path: Path, suffix: str, frames: Array, fps: int) -> None:
    if suffix == ".gif":
        iio.imwrite(path, frames, duration=1000 / fps, loop=0)
        return
    even = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]  # the codec's chroma is halved
    iio.imwrite(path, np.ascontiguousarray(even), plugin="FFMPEG", fps=fps, codec="libx264", macro_block_size=1, quality=8)


def _save_folder(path: Path, frames: Array) -> None:
    if path.exists() and (not path.is_dir() or any(not re.fullmatch(r"\d{4,}\.png", p.name) for p in path.iterdir())):
        raise InputError(f"{path}: exists and is not a folder of frames 0000.png …: choose another -o")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".frames-") as temporary:
            folder = Path(temporary) / "frames"
            folder.mkdir()
            for number, frame in enumerate(frames):
                Image.fromarray(frame).save(folder / f"{number:04d}.png")
            if path.exists():
                shutil.rmtree(path)
            os.replace(folder, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}): choose another -o") from None

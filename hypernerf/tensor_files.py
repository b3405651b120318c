"""Reading tensors that somebody else wrote: nothing in the file is run, and no more memory is taken than the file has bytes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import safe_open
from torch import Tensor

from .reading import open_regular
from .types import InputError

HEADER_LIMIT = 1 << 22  # bytes: names, shapes and metadata of ten thousand tensors
SIZE_LIMIT = 1 << 33  # bytes of a model or a training state: a file of holes can claim more than any machine's memory
KINDS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
MAX_VALUES, MAX_DEPTH = 1_000_000, 16  # of a training state: tens of plain values a parameter, lists in lists a few deep


def read_tensors(
    path: Path, limit: int = SIZE_LIMIT, kinds: tuple[torch.dtype, ...] = KINDS
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, as float32, and its metadata.

    Raises:
        InputError: no such file, one of more than `limit` bytes, none of this format, or with values that are not finite.
    """
    with open_regular(path, limit) as file:
        header = int.from_bytes(file.read(8), "little")
    if header > HEADER_LIMIT:
        raise InputError(f"{path}: not a safetensors file (its header would have {header} bytes)")
    try:
        with safe_open(path, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            metadata = opened.metadata() or {}
    except Exception as error:  # safetensors raises types of its own and whatever torch says of its values
        raise InputError(f"{path}: not a safetensors file, or truncated ({error}): make it anew") from None
    return {name: _finite(value, f"{path}: {name}", kinds) for name, value in tensors.items()}, metadata


def _finite(value: Tensor, what: str, kinds: tuple[torch.dtype, ...]) -> Tensor:
    if value.dtype not in kinds:
        raise InputError(f"{what} holds {str(value.dtype).removeprefix('torch.')}, not floating-point numbers")
    try:
        value = value.to(torch.float32)
        finite = bool(torch.isfinite(value).all())
    except RuntimeError as error:  # no values at all, of a shape that overflows
        raise InputError(f"{what} has a shape that no tensor can have ({str(error).splitlines()[0]})") from None
    if not finite:
        raise InputError(f"{what} holds values that are not finite")
    return value


def read_state(path: Path) -> dict[str, Any]:
    """What `torch.save` wrote of a dict of tensors and plain values; anything else is refused, and never run.

    Raises:
        InputError: no such file, a damaged one, or one that holds something else, or claims more than it has.
    """
    with open_regular(path, SIZE_LIMIT) as file:
        try:
            size = _stored_size(file)
            state = torch.load(file, map_location="cpu", weights_only=True)
            _check_plain(state, size)
        except Exception as error:  # torch and zipfile raise many types for a damaged file
            reason = str(error).strip().splitlines()[0] if isinstance(error, ValueError) else type(error).__name__
            raise InputError(f"{path}: cannot be read as a training state ({reason})") from None
    return state


def _stored_size(file: BinaryIO) -> int:
    """The file's size. Raises `ValueError` when it is a packed archive, which may unpack to a thousand times of it."""
    size = file.seek(0, 2)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(entry.file_size for entry in entries) > size:
        raise ValueError("its archive is packed, or claims more than the file has")
    file.seek(0)
    return size


def _check_plain(state: Any, size: int) -> None:
    """Raises `ValueError` unless `state` is a dict of plain values and of tensors that together fit `size` bytes."""
    if not isinstance(state, dict):
        raise ValueError("not a dict")
    storages: dict[int, int] = {}
    waiting, count = [(state, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        count += 1  # what is referred to twice counts twice: whoever walks through it meets it twice
        if depth > MAX_DEPTH or count > MAX_VALUES:
            raise ValueError("too many values, or nested too deeply")
        if isinstance(value, dict):
            waiting += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, (list, tuple)):
            waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, Tensor):
            if value.layout != torch.strided or value.device.type != "cpu":
                raise ValueError("a tensor that is not dense")
            storage = value.untyped_storage()
            if value.nbytes > storage.nbytes():
                raise ValueError("a tensor that repeats the values it has")
            storages[storage.data_ptr()] = storage.nbytes()
        elif not isinstance(value, (str, int, float, bool, type(None))):
            raise ValueError(f"holds a {type(value).__name__}")
    if sum(storages.values()) > size:
        raise ValueError("tensors claim more than the file has")

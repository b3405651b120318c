"""Frozen dataclasses to YAML and back, strictly: an unknown key or an impossible value is one line that names it."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml

from .reading import parse_yaml, read_text, shown
from .types import InputError

FILE_LIMIT = 1 << 16  # bytes of a configuration

T = TypeVar("T")


def from_dict(kind: type[T], values: Mapping[str, Any], where: str = "", **given: Any) -> T:
    """The dataclass `kind` with `values`; keys not given keep their defaults. `where` prefixes keys in messages.

    `given` are fields that are not read from `values`, and taken as they are.

    Raises:
        InputError: an unknown key (the nearest known one is suggested), a value of the wrong type, or one the dataclass
            itself refuses.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where or 'the configuration'} must be a section of keys, not {values!r}")
    hints = typing.get_type_hints(kind)
    known = {field.name: field for field in dataclasses.fields(kind) if field.name not in given}  # type: ignore[arg-type]
    arguments = {}
    for key, value in values.items():
        path = f"{where}.{key}" if where else str(key)
        if key not in known:
            raise InputError(f"unknown key {shown(path)[1:-1]}{_nearest(str(key), list(known))}")
        arguments[key] = _convert(hints[key], value, path)
    return kind(**arguments, **given)


def _nearest(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else f": known are {', '.join(known)}"


def _convert(hint: Any, value: Any, where: str) -> Any:
    """`value`, as YAML or the command line gave it, as the type `hint`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value, where)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = (a for a in arguments if a is not type(None))
        return _convert(inner, value, where)
    if origin is Literal:
        if value not in arguments:
            raise InputError(f"{where} must be one of {', '.join(map(str, arguments))}, not {shown(value)}")
        return value
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise InputError(f"{where} must be a mapping, not {shown(value)}")
        return {_convert(arguments[0], k, where): _convert(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    return _convert_plain(hint, value, where)


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise InputError(f"{where} must be a list like [1, 2], not {shown(value)}")
    if arguments[-1] is Ellipsis:
        return tuple(_convert(arguments[0], item, where) for item in value)
    if len(value) != len(arguments):
        raise InputError(f"{where} must have {len(arguments)} values, not {len(value)}")
    return tuple(_convert(kind, item, where) for kind, item in zip(arguments, value, strict=True))


def _convert_plain(hint: Any, value: Any, where: str) -> Any:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    if hint is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)  # YAML reads 1e-3 as a text
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise InputError(f"{where} must be a number, not {shown(value)}")
        return number
    if hint is str and isinstance(value, Path):
        return str(value)
    if type(value) is not hint:
        raise InputError(f"{where} must be {names.get(hint, hint)}, not {shown(value)}")
    return value


def to_dict(config: Any) -> Any:
    """Plain values that YAML can write and `from_dict` reads back to an equal dataclass."""
    if dataclasses.is_dataclass(config):
        return {field.name: to_dict(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {key: to_dict(value) for key, value in config.items()}
    if isinstance(config, (tuple, list)):
        return [to_dict(value) for value in config]
    return config


def load_yaml(path: Path | str) -> dict[str, Any]:
    """A YAML file's sections. Raises `InputError` when it is missing or no mapping."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such configuration: see configs/ for some")
    try:
        values = parse_yaml(read_text(path, FILE_LIMIT))
    except ValueError as error:
        raise InputError(f"{path}: not valid YAML ({error})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: must hold sections of keys, not {type(values).__name__}")
    return values


def dump_yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, default_flow_style=None, width=110)


def apply_overrides(values: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """`values` with `--section.key VALUE …` from a command line; each VALUE is read as YAML, several make a list.

    Raises:
        InputError: an argument that is no `--section.key`, or a key without a value.
    """
    result = _copy(values)
    groups: list[tuple[str, list[str]]] = []
    for argument in arguments:
        if argument.startswith("--"):
            key, equals, value = argument[2:].partition("=")
            groups.append((key, [value] if equals else []))
        elif groups:
            groups[-1][1].append(argument)
        else:
            raise InputError(f"unexpected argument {argument!r}: settings are given as --section.key VALUE")
    for key, texts in groups:
        if "." not in key:
            raise InputError(f"unknown option --{key}: settings are given as --section.key VALUE; see --help")
        if not texts:
            raise InputError(f"--{key} needs a value")
        parsed = [_parse(text, key) for text in texts]
        names: list[Any] = [int(part) if part.isdecimal() else part for part in key.split(".")]  # as YAML reads keys
        *sections, last = names
        place: dict[Any, Any] = result
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise InputError(f"--{key}: {section} is a value, not a section")
        place[last] = parsed[0] if len(parsed) == 1 else parsed
    return result


def _parse(text: str, key: str) -> Any:
    try:
        return parse_yaml(text)
    except ValueError:
        raise InputError(f"--{key}: cannot read the value {shown(text)}") from None


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in values.items()}

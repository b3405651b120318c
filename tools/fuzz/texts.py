"""Damage to texts and to the plain values in them: it lies behind the checks that random bytes fail at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from random import Random
from typing import Any

import yaml

from hypernerf.reading import parse_yaml

NUMBERS: tuple[Any, ...] = (
    float("nan"), float("inf"), -float("inf"), 1e308, 1e39, 1e-320, 1e20, 1e7, 0, -0.0, -1, 1, 0.5, 3, 255, 65535, 10**6, 10**9,
    2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**25, 10**400,
)  # fmt: skip
NUMBER_TEXTS = (
    "nan", "inf", "-inf", "NaN", "Infinity", "1e400", "-1e400", "1e39", "1e308", "1e-400", "0", "-0", "-1", "1", "4294967295",
    "2147483648", "9223372036854775808", "18446744073709551616", "1000000000", "9" * 25, "9" * 5000, "0x" + "f" * 5000, "1_0",
    "\u0661\u0662", "1e", "--1", "true", "null", "", "1,5", "1/0", "1 1",
)  # fmt: skip
NAMES = (
    "../outside.png", "../../outside.png", "/etc/passwd", "/dev/zero", "./././x", "..", ".", "/", "", "\0", "a\0b", "\ud800",
    "\x1b[2J", "[/red]", "x" * 300, "y/" * 2000, "z" * 20000, "rgb/../../outside.png", "file:///etc/passwd", "con", "~/x",
    "%2e%2e/x", "__class__",
)  # fmt: skip
OTHERS: tuple[object, ...] = (None, True, False, "", "x", [], {}, [[]], [None], {"a": 1}, [1, 2, 3], "1", "1e3")
BOMB = "\na: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{b}: &{b} [{','.join(9 * ['*' + a])}]\n" for a, b in pairwise("abcdefghi"))
YAML_TEXTS = (
    "\nx: &a [*a]\n", "\nx: !!python/object/apply:os.mkdir ['pwned']\n", "\nx: !!python/name:os.system\n", "\n? [a]\n: b\n",
    "\nx: 2001-99-99\n", "\nx: 0b\n", "\nx: !!timestamp x\n", "\nx: !!int ''\n", "\nx: !!float []\n", "\nx: !!binary x\n",
    "\n<<: 3\n", "\n---\n---\n", "\n\tx: 1\n", "\n%YAML 9.9\n", "\nx: 1:99:99:99.9\n", "\nx: .nan\n", "\n- 1\n", BOMB,
    "\nx: " + "[" * 3000, "\nx: " + "{a: " * 3000, "\n" + "- " * 3000, "\nx: " + "1:" * 3000 + "1\n",
    "\nx: 0x" + "f" * 6000 + "\n",
)  # fmt: skip
DEEP = r"[\"']?@deep(\d+)([\[{])[\"']?"  # what stands for that many brackets until the text is written


def damaged_value(value: Any, random: Random) -> Any:
    """A copy of `value` (what JSON and YAML hold) with one of its parts changed."""
    holder = [json.loads(json.dumps(value))]
    places = list(_places(holder))
    many = 2 if len(places) > 200 else 50  # damage upon damage multiplies
    parent, key = random.choice(places)
    match random.randrange(11):
        case 0 | 1 | 2:
            parent[key] = random.choice(NUMBERS)
        case 3:
            parent[key] = random.choice(NAMES)
        case 4:
            parent[key] = random.choice(OTHERS)
        case 5:
            parent[key] = f"@deep{random.choice((5, 40, 900, 3000, 100_000))}{random.choice('[{')}"
        case 6:
            parent[key] = random.choice(([parent[key]], {"a": parent[key]}, [parent[key]] * many))
        case 7:
            other = random.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
            parent[key], parent[other] = parent[other], parent[key]
        case 8 if isinstance(parent, list):
            parent[:] = parent * random.choice((2, many))
        case 9 if isinstance(parent, dict):
            parent[random.choice(NAMES)] = parent.pop(key)
        case _:
            del parent[key]
    return holder[0] if holder else None


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of all parts of `value`."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)


def _changed(value: Any, random: Random, write: Callable[[Any], str]) -> bytes:
    for _ in range(random.choice((1, 1, 2, 4))):
        value = damaged_value(value, random)

    def brackets(found: re.Match) -> str:
        before, after = ("[", "]") if found[2] == "[" else ('{"a":', "}")
        return before * int(found[1]) + "1" + after * int(found[1])

    return re.sub(DEEP, brackets, write(value)).encode("utf-8", "surrogatepass")


def json_text(data: bytes, random: Random) -> bytes:
    return _changed(json.loads(data), random, json.dumps)


def yaml_text(data: bytes, random: Random) -> bytes:
    if random.random() < 0.3:
        at = random.choice([0, len(data), data.find(b"\n") + 1])
        return data[:at] + random.choice(YAML_TEXTS).encode() + data[at:]
    flow = random.choice((True, False))
    return _changed(parse_yaml(data.decode()), random, lambda value: yaml.safe_dump(value, default_flow_style=flow))


def numbers(data: bytes, random: Random) -> bytes:
    """One of the numbers of a text (or of a text within) becomes an extreme one."""
    return _replaced(data, rb"-?\d+\.?\d*(?:e[-+]?\d+)?", NUMBER_TEXTS, random)


def words(data: bytes, random: Random) -> bytes:
    return _replaced(data, rb"[\w./]+", NAMES, random)


def _replaced(data: bytes, pattern: bytes, texts: tuple[str, ...], random: Random) -> bytes:
    match = random.choice(list(re.finditer(pattern, data[:4096])))
    return data[: match.start()] + random.choice(texts).encode("utf-8", "surrogatepass") + data[match.end() :]

"""docs/api.md, built from docstrings: `python -m tests.api_reference` writes it, and a test asserts that it is up to date."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
MODULES = (
    "hypernerf", "hypernerf.types", "hypernerf.geometry", "hypernerf.fields", "hypernerf.ops", "hypernerf.rendering",
    "hypernerf.models", "hypernerf.training", "hypernerf.export", "scenes.source", "scenes.detect",
)  # fmt: skip
HEAD = """# API reference

Built from docstrings by `python -m tests.api_reference`: edit those, not this page. [tutorial.md](tutorial.md) shows how the
parts go together. What a class holds is shown as it stands in its source.
"""
SECTIONS = ("Args:", "Returns:", "Raises:")


def page() -> str:
    """The whole page. A thing is described once, where it is met first."""
    parts, described = [HEAD], set()
    for name in MODULES:
        module = import_module(name)
        parts.append(f"## `{name}`\n\n{markdown(inspect.getdoc(module) or '')}\n")
        for thing_name in public_names(module):
            thing = getattr(module, thing_name)
            if thing in described:
                continue
            described.add(thing)
            parts += [text + "\n" for text in describe(thing_name, thing)]
    return re.sub(r"(\[[\w.]+, ['\"]) ", r"\1", "\n".join(parts))  # shapes of one name begin with a space, for linters


def public_names(module: ModuleType) -> list[str]:
    """`__all__`, else what is defined in the module itself; functions and classes only."""
    listed: Iterable[str] = getattr(module, "__all__", None) or vars(module)
    own = [name for name in listed if not name.startswith("_") and _is_described(getattr(module, name), module)]
    return sorted(own, key=lambda name: (not name[0].islower(), name))


def _is_described(thing: Any, module: ModuleType) -> bool:
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return False
    return hasattr(module, "__all__") or thing.__module__ == module.__name__


def describe(name: str, thing: Any, prefix: str = "") -> Iterator[str]:
    """Markdown of a function or a class, of a class's fields, and of its methods that have a docstring."""
    if inspect.isfunction(thing):
        yield f"### `{prefix}{name}{signature(thing)}`\n\n{markdown(inspect.getdoc(thing) or '')}"
        return
    text = inspect.getdoc(thing) or ""
    shown = f"### class `{name}`\n\n" + ("" if text.startswith(f"{name}(") else markdown(text))
    if dataclasses.is_dataclass(thing):
        shown += "\n\n```python\n" + "\n".join(field_lines(thing)) + "\n```"
    yield re.sub(r"\n{3,}", "\n\n", shown)
    for method_name, method in vars(thing).items():
        inner = method.fget if isinstance(method, property) else getattr(method, "__func__", method)
        if method_name.startswith("_") or not inspect.isfunction(inner) or not inner.__doc__:
            continue
        called = "" if isinstance(method, property) else signature(inner)
        yield f"#### `{name}.{method_name}{called}`\n\n{markdown(inspect.getdoc(inner) or '')}"


def field_lines(kind: type) -> list[str]:
    """A dataclass's fields with their comments, as in its source."""
    body = textwrap.dedent("\n".join(inspect.getsource(kind).split("\n")[2:]))
    source = re.sub(r'\A\s*"""(?:.|\n)*?"""\n', "", body)
    lines = re.split(r"^(?:def |@|async def )", source, maxsplit=1, flags=re.MULTILINE)[0].split("\n")
    return [line for line in lines if line.strip()]


def signature(function: Any) -> str:
    """As in the source, without `self`; annotations are strings already, and defaults have no address in them."""
    described = inspect.signature(function)
    shown, starred = [], False
    for parameter in described.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        kind = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
        default = "" if parameter.default is parameter.empty else f" = {_default(parameter.default)}"
        shown.append(f"{parameter.name}{kind}{default}")
    result = "" if described.return_annotation is described.empty else f" -> {described.return_annotation}"
    return f"({', '.join(shown)}){result}"


def _default(value: Any) -> str:
    if dataclasses.is_dataclass(value):
        return f"{type(value).__name__}()"
    return getattr(value, "__name__", "…").replace("<lambda>", "…") if callable(value) else repr(value)


def markdown(text: str) -> str:
    """A docstring: its sections' items as lists, and nothing that Markdown would take for its own."""
    lines, inside = [], False
    for line in text.split("\n"):
        if line.strip() in SECTIONS:
            inside = True
            lines += [f"{line.strip()[:-1]}:", ""]
            continue
        inside = inside and (line.startswith("    ") or not line)
        item = re.match(r"    (\w+): (.*)", line)
        if inside and item:
            lines.append(f"- `{item[1]}`: {_plain(item[2])}")
        else:
            lines.append(_plain(line.strip() if inside else line))
    return "\n".join(lines).strip()


def _plain(line: str) -> str:
    """Outside of code spans, stars and angles are what they are."""
    spans = line.split("`")
    return "`".join(s if number % 2 else re.sub(r"([*<])", r"\\\1", s) for number, s in enumerate(spans))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: {len(page().splitlines())} lines")

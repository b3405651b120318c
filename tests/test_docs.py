"""What the pages say can be done can be done: links lead somewhere, commands and options exist, the tutorial runs."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import io
import os
import re
import shlex
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import trimesh

import hypernerf
from hypernerf.cli.commands import find_command
from hypernerf.fields import load_scene_file
from hypernerf.training import Experiment
from members import MEMBERS
from scenes.source import source_config_type, source_names
from tests import api_reference

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(
    r"(?:python )?tools/(\w+)\.py\b([^#\n]*)|\bhypernerf ([a-z]+-[a-z]+|evaluate|reconstruct|benchmark)\b([^#\n]*)"
)


def blocks(page: Path, language: str) -> list[str]:
    return [code for name, code in FENCE.findall(page.read_text()) if name == language]


def prose(text: str) -> str:
    """Without code."""
    return re.sub(r"`[^`]*`", "", FENCE.sub("", text))


def anchors(page: Path) -> set[str]:
    """As GitHub names headings: small letters, no punctuation, dashes for spaces."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in LINK.findall(prose(page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page if not name else page.parent / name
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_within_the_project_lead_somewhere(page):
    assert broken_links(page) == []


def test_broken_links_would_be_found(tmp_path):
    page = tmp_path / "a.md"
    page.write_text(
        "# A b, `c`\n[1](#a-b-c) [2](#a-c) [3](none.md) ![4](a.md) [5](a.md#z) `[6](no)` [7](https://x.org/y)\n```\n[8](n)\n```\n"
    )
    assert broken_links(page) == ["#a-c", "none.md", "a.md#z"]


@cache
def main_of(script: str) -> Callable[[Sequence[str]], int | None] | None:
    """The function that tools/SCRIPT.py runs; None if there is no such script."""
    path = ROOT / "tools" / f"{script}.py"
    if not path.is_file():
        return None
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "main" for alias in node.names):
            main: Callable[[Sequence[str]], int | None] = import_module(str(node.module)).main
            return main
    raise AssertionError(f"{path} runs no main")


@cache
def options_of(script: str) -> set[str]:
    main, output = main_of(script), io.StringIO()
    assert main is not None
    for member in MEMBERS if script == "family" else [""]:  # each of which has options of its own
        with contextlib.redirect_stdout(output), pytest.raises(SystemExit):
            main([*member.split(), "--help"])
    return set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", output.getvalue()))


def is_setting(key: str) -> bool:
    """Whether a configuration has the key: source.root, train.batch.rays."""
    section, _, rest = key.partition(".")
    if section == "source":
        return any(rest in {f.name for f in dataclasses.fields(source_config_type(name))} for name in source_names())
    holder: object = Experiment()
    for part in key.split("."):
        if not dataclasses.is_dataclass(holder) or not hasattr(holder, part):
            return False
        holder = getattr(holder, part)
    return True


def commands_in(text: str) -> list[tuple[str, list[str]]]:
    """(script, options) of every command, in blocks and in code spans, even if a span goes on in the next line."""
    code = [block for _, block in FENCE.findall(text)] + [
        " ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCE.sub("", text))
    ]
    found = []
    for part in code:
        for script, rest, name, more in COMMAND.findall(part):
            options = [word.split("=")[0] for word in (rest or more).split() if re.match(r"--?[a-zA-Z]", word)]
            found.append((script or name.replace("-", "_"), options))
    return found


def wrong_commands(text: str) -> list[str]:
    wrong = []
    for script, options in commands_in(text):
        if main_of(script) is None:
            wrong.append(script)
            continue
        known = options_of(script)
        wrong += [f"{script} {o}" for o in options if o not in known and not ("." in o and is_setting(o.lstrip("-")))]
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_options_on_the_pages_exist(page):
    assert wrong_commands(page.read_text()) == []


def test_wrong_commands_would_be_found():
    text = (
        "Say `tools/export_mesh.py a.field.safetensors\n--textures -o x` or `hypernerf export-mash`.\n"
        "```\npython tools/evaluate.py RUN --source.rot x --train.minutes 3 --split val # --no\n"
        "hypernerf render-views SCENE --orbits 3\n```\n"
    )
    wrong = {"evaluate --source.rot", "export_mash", "export_mesh --textures", "render_views --orbits"}
    assert set(wrong_commands(text)) == wrong


def test_the_docs_list_every_page():
    listed = {link.partition("#")[0] for link in LINK.findall((ROOT / "docs" / "README.md").read_text())}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} <= listed


def test_the_api_reference_is_what_the_docstrings_say():
    assert api_reference.PAGE.read_text(encoding="utf-8") == api_reference.page(), "run python -m tests.api_reference"


def test_the_api_reference_has_every_name_once_and_no_addresses():
    text = api_reference.page()
    for name in hypernerf.__all__:
        assert len(re.findall(rf"^### (?:class )?`{name}[(`]", text, re.MULTILINE)) == 1, name
    assert " 0x" not in text and "self" not in re.findall(r"\((\w+)", text)


@pytest.fixture
def new_user(tiny_run, photos, tmp_path, monkeypatch):
    """Someone with a trained run and a folder of images, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("runs/quickstart").symlink_to(tiny_run)
    Path("my_chair").symlink_to(photos)


@pytest.mark.usefixtures("new_user", "_one_thread")
def test_the_tutorial_runs_as_python(capsys):
    names: dict[str, object] = {}
    code = blocks(ROOT / "docs" / "tutorial.md", "python")
    assert sum(bool(line.strip()) for line in code[0].split("\n")) <= 10  # lines, as the page promises
    for block in code:
        exec(compile(block, "docs/tutorial.md", "exec"), names)
    assert load_scene_file("out/mine.field.safetensors").name == "my_chair"
    assert "<title>My chair</title>" in Path("out/mine.html").read_text()
    assert len(trimesh.load("out/mine.glb", force="mesh").faces) > 100
    assert Path("out/mine.gif").stat().st_size > 1000
    assert re.fullmatch(r"\d+% of the pixels show the chair\n\d+ triangles\n", capsys.readouterr().out)


def run_block(code: str) -> list[str]:
    """Runs the lines of a block that call a tool, in this process; the tools, in order."""
    called = []
    for line in code.split("\n"):
        words = shlex.split(line, comments=True)
        if words[:1] == ["python"]:
            name = Path(words[1]).stem
            main = main_of(name)
            assert main is not None and not main(words[2:])
            called.append(name)
    return called


@pytest.mark.usefixtures("new_user", "_one_thread")
def test_the_tutorial_runs_as_commands():
    _, code = blocks(ROOT / "docs" / "tutorial.md", "")
    assert run_block(code) == ["check_scenes", "reconstruct", "render_views", "export_mesh", "export_web"]
    assert {"check.png", "mine.field.safetensors", "mine.gif", "mine.glb", "mine.html"} == set(os.listdir("out"))


def test_the_commands_of_the_tutorial_have_names_in_the_one_command():
    for script, _ in commands_in((ROOT / "docs" / "tutorial.md").read_text()):
        assert find_command(script) is not None

"""One command for all of tools/: its table, what it imports, what it says; and options that are the same everywhere."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hypernerf import __version__
from hypernerf.cli import commands
from hypernerf.cli.commands import COMMANDS, find_command, unknown, usage
from hypernerf.cli.common import as_called, run, write_json
from hypernerf.types import InputError

ROOT = Path(__file__).parent.parent.parent


def module_of(script: Path) -> str | None:
    """X where a script of tools/ runs `hypernerf.cli.X`; None where it runs something else."""
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "main" for alias in node.names):
            package, _, module = str(node.module).rpartition(".")
            return module if package == "hypernerf.cli" else None
    return None


def test_the_table_has_the_scripts_of_tools_and_no_others():
    scripts = {path.stem.replace("_", "-"): module_of(path) for path in (ROOT / "tools").glob("*.py")}
    assert {name: module for name, module in scripts.items() if module} == {c.name: c.module for c in COMMANDS}


def say(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "hypernerf", *arguments], capture_output=True, text=True, check=False, cwd=ROOT)


def test_help_names_every_command_and_imports_nothing_heavy():
    code = "import sys, hypernerf.cli.commands as c; print(c.usage()); print({'torch', 'numpy', 'rich'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert output.endswith("set()\n")
    for command in COMMANDS:
        assert f"\n  {command.name} " in output and command.help in output
    assert say("--help").stdout == say().stdout == usage() + "\n"
    assert say("--version").stdout == f"hypernerf {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "meant"), [("export-mush", "export-mesh"), ("evalute", "evaluate"), ("benchmrak", "benchmark")]
)
def test_a_mistyped_command_is_guessed(typed, meant):
    assert f"did you mean {meant!r}?" in unknown(typed)


def test_an_unknown_command_is_bad_usage():
    result = say("xyzzy")
    assert result.returncode == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and "'xyzzy'" in result.stderr and "reconstruct" in result.stderr


def test_the_installed_command_is_this_one():
    assert '\nhypernerf = "hypernerf.cli.commands:main"\n' in (ROOT / "pyproject.toml").read_text() and callable(commands.main)


def test_underscores_will_do():
    assert find_command("export_mesh") is find_command("export-mesh") is not None
    assert find_command("peers") is None


def test_a_subcommand_runs_ends_and_speaks_as_the_command(tmp_path):
    result = say("export_mesh", str(tmp_path / "none.field.safetensors"), "-o", str(tmp_path / "m.glb"))
    assert result.returncode == 2
    assert result.stderr.endswith("none.field.safetensors: no such scene file: make one with hypernerf reconstruct\n")
    result = say("export-mesh", "--help")
    assert result.returncode == 0 and result.stdout.startswith("usage: hypernerf export-mesh ")
    assert (
        "  hypernerf export-mesh out/chair.field.safetensors -o out/chair.glb\n" in result.stdout and ".py" not in result.stdout
    )


def test_scripts_are_named_as_they_were_called(monkeypatch):
    text = "python tools/export_mesh.py a, reconstruct.py, tools/gpu_check.py, /home/evaluate.py, setup.py"
    monkeypatch.setattr(sys, "argv", ["tools/evaluate.py"])
    assert as_called(text) == text
    monkeypatch.setattr(sys, "argv", ["hypernerf evaluate"])
    assert as_called(text) == "hypernerf export-mesh a, hypernerf reconstruct, tools/gpu_check.py, /home/evaluate.py, setup.py"


def help_of(name: str, capsys, monkeypatch) -> str:
    command = find_command(name)
    assert command is not None
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit):
        commands.call(command, ["--help"])
    return str(capsys.readouterr().out)


def test_options_of_one_meaning_have_one_name_and_one_help(capsys, monkeypatch):
    lines: dict[str, set[str]] = {"RUN": set(), "SCENE": set(), "--json FILE": set()}
    having: dict[str, set[str]] = {word: set() for word in lines}
    for command in COMMANDS:
        for line in help_of(command.name, capsys, monkeypatch).splitlines():
            for word in lines:
                if line.startswith(f"  {word}  "):  # not the viewer's "SCENE | RUN"
                    lines[word].add(line.strip().removeprefix(word).strip())
                    having[word].add(command.name)
    assert {word: len(found) for word, found in lines.items()} == {"RUN": 1, "SCENE": 1, "--json FILE": 1}
    assert having["RUN"] == {"evaluate", "reconstruct", "export-model"}
    assert having["SCENE"] == {"render-views", "export-mesh", "export-web", "export-onnx"}
    assert having["--json FILE"] >= {"fit-scenes", "evaluate", "reconstruct", "export-mesh", "check-scenes", "benchmark"}


def test_every_file_that_is_written_goes_to_output(capsys, monkeypatch):
    for name in (
        "reconstruct",
        "render-views",
        "export-mesh",
        "export-web",
        "export-onnx",
        "export-model",
        "check-scenes",
        "view",
    ):
        assert "  -o " in (text := help_of(name, capsys, monkeypatch)) and " --output " in text, name


def test_json_is_written_whole_or_not_at_all(tmp_path):
    write_json(None, {"a": 1})
    write_json(tmp_path / "x.json", {"a": [1, 2.5, None]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [1, 2.5, None]}
    with pytest.raises(TypeError):
        write_json(tmp_path / "y.json", {"a": object()})
    with pytest.raises(InputError, match="none"):
        write_json(tmp_path / "none" / "y.json", {"a": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("ask", [lambda: torch.empty(1 << 50), lambda: np.ones(1 << 50)], ids=["torch", "numpy"])
def test_memory_that_is_not_there_is_one_line(ask, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tools/export_mesh.py"])
    with pytest.raises(SystemExit) as ended:
        run(lambda arguments: ask() and 0)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "out of memory" in error and "--resolution" in error


def test_other_errors_of_the_program_keep_their_trace(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tools/export_mesh.py"])

    def fail(arguments):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        run(fail)

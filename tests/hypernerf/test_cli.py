"""The commands as people run them: a tiny run from end to end, and everything one can get wrong."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as iio
import pytest
import torch
import trimesh

from hypernerf.cli.common import parse_config
from hypernerf.config import load_yaml
from hypernerf.fields import load_scene_file
from hypernerf.models import Generator
from tests.conftest import call_tool, run_tool
from tests.scenes import physical

ROOT = Path(__file__).parent.parent.parent
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py"))
CONFIG = """
source: {name: procedural, train_scenes: 8, val_scenes: 2, test_scenes: 3, views: 6, size: 16}
encoder: {image: {image_size: 16, channels: [8, 16]}, set: {width: 32}, lift: {resolution: 8, channels: 8}}
hypernetwork: {latent: 16, width: 32, rank: 2}
field: {width: 16, depth: 2, position_frequencies: 2, plane_resolution: 8, volume_resolution: 8}
train: {steps: 60, samples: 8, validations: 2, checkpoint_every: 25, batch: {scenes: 4, rays: 32}}
evaluate: {context_views: [1, 3], meshes: 1}
render: {samples: 16, grid: 16}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(CONFIG)
    code, output, error = run_tool("fit_scenes", folder / "tiny.yaml", "--out", folder / "run", "--json", folder / "end.json")
    assert code == 0, error + output
    return folder / "run"


def test_a_run_leaves_what_it_promises(run):
    metrics = json.loads((run / "metrics.json").read_text())
    assert json.loads((run.parent / "end.json").read_text()) == metrics
    assert metrics["scenes"] == 3 and set(metrics["context_views"]) == {"1", "3"}
    assert set(metrics["baselines"]) == {"mean_field", "nearest_view", "mean_image"}
    for scores in [*metrics["context_views"].values(), *metrics["baselines"].values()]:
        assert set(scores) == {"psnr", "ssim", "lpips"} and 3 < scores["psnr"] < 40
    assert metrics["shape"]["context_views"] == 3 and 0 <= metrics["shape"]["iou"] <= 1
    assert "base64" in (run / "report.html").read_text()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3 + 2
    assert {p.suffix for p in (run / "samples").iterdir()} >= {".png", ".gif", ".mp4"}
    assert not list(run.rglob(".*"))
    source, _ = parse_config(load_yaml(run / "config.yaml"), "config.yaml")
    assert source.radius == 1.0 and source.up == (0.0, 0.0, 1.0)


def test_evaluate_repeats_what_the_run_said(run, tmp_path):
    code, output, error = run_tool("evaluate", run, "--context-views", 1, 3, "--json", tmp_path / "m.json")
    assert code == 0, error
    first, second = (json.loads(p.read_text()) for p in (run / "metrics.json", tmp_path / "m.json"))
    assert second["context_views"]["3"]["psnr"] == pytest.approx(first["context_views"]["3"]["psnr"], abs=1e-3)
    assert "unseen" in output


def test_evaluate_draws_chosen_scenes_large(run, tmp_path):
    names = ["test-chairs-00002", "test-chairs-00000"]
    code, output, error = run_tool(
        "evaluate", run, "--context-views", 2, "--adapt", 2, "--sheet", tmp_path / "s.png", "--scenes", *names
    )  # fmt: skip
    assert code == 0 and "2 scenes, 2 context views" in output, error
    height, width = iio.imread(tmp_path / "s.png").shape[:2]
    assert width > 4 * 192 and height > 2 * 3 * 192  # read, forward, adapted, truth; three target views a scene
    code, _, error = run_tool("evaluate", run, "--sheet", tmp_path / "t.png", "--scenes", "nobody")
    assert code == 2 and "--scenes nobody" in error and len(error.strip().splitlines()) == 1


def test_from_images_to_file_to_views_to_mesh(run, tmp_path):
    scene = tmp_path / "chair.field.safetensors"
    code, _, error = run_tool("reconstruct", run, "--scene", "test-chairs-00001", "--views", 0, 2, "-o", scene)
    assert code == 0, error
    field = load_scene_file(scene)
    assert field.name == "chair" and field.up == (0, 0, 1)
    again = tmp_path / "again.field.safetensors"
    run_tool("reconstruct", run, "--scene", "test-chairs-00001", "--views", 2, 0, "-o", again)
    for name, value in load_scene_file(again).weights.tensors.items():
        assert torch.allclose(value, field.weights.tensors[name], rtol=2e-3, atol=1e-3)
    code, _, error = run_tool("render_views", scene, "--orbit", 3, "--size", 24, 32, "-o", tmp_path / "views")
    assert code == 0, error
    assert iio.imread(tmp_path / "views" / "0002.png").shape == (24, 32, 3)
    path = tmp_path / "path.json"
    pose = [[1, 0, 0, 0], [0, 0, -1, -3], [0, 1, 0, 0], [0, 0, 0, 1]]
    path.write_text(json.dumps({"fl_x": 20, "w": 16, "h": 16, "frames": [{"transform_matrix": pose}]}))
    code, _, error = run_tool("render_views", scene, "--cameras", path, "-o", tmp_path / "v.gif")
    assert code == 0, error
    code, _, error = run_tool("export_mesh", scene, "-o", tmp_path / "m.glb", "--resolution", 24, "--level", 0.3)
    assert code == 0, error
    assert len(trimesh.load(tmp_path / "m.glb", force="mesh").faces) > 0
    code, output, error = run_tool("export_web", scene, again, "-o", tmp_path / "page.html", "--title", "A chair")
    assert code == 0 and "2 scenes" in output, error
    assert "<title>A chair</title>" in (tmp_path / "page.html").read_text()


def test_from_images_to_delta_to_views(run, tmp_path):
    scene = tmp_path / "out" / "chair.field.safetensors"
    code, output, error = run_tool("reconstruct", run, "--scene", "test-chairs-00001", "--views", 0, 2, "--delta", "-o", scene)
    assert code == 0, error + output
    assert scene.stat().st_size < 4000 and (run / "base.safetensors").is_file()
    (beside,) = scene.parent.glob("base-*.safetensors")
    beside.unlink()
    code, _, error = run_tool("render_views", scene, "--orbit", 2, "--size", 16, 16, "-o", tmp_path / "views")
    assert code == 2 and "--base" in error
    arguments = [scene, "--base", run, "--orbit", 2, "--size", 16, 16, "-o", tmp_path / "views"]
    code, _, error = run_tool("render_views", *arguments)
    assert code == 0, error


def test_resume_goes_on_or_starts_and_a_run_is_never_overwritten(run, tmp_path):
    code, _, error = run_tool("fit_scenes", run.parent / "tiny.yaml", "--out", run)
    assert code == 2 and "--resume" in error
    more = [run.parent / "tiny.yaml", "--out", run, "--resume", "--train.steps", "70"]
    code, _, error = run_tool("fit_scenes", *more)
    assert code == 2 and "train.steps 60 -> 70" in error
    code, output, _ = run_tool("fit_scenes", *more, "--allow-change", "train.steps")
    assert code == 0 and "resumed at step 60" in output
    assert json.loads((run / "metrics.json").read_text())["step"] == 70


def test_an_interrupt_writes_a_checkpoint_and_says_130(run, tmp_path):
    command = [
        sys.executable,
        ROOT / "tools" / "fit_scenes.py",
        run.parent / "tiny.yaml",
        "--out",
        tmp_path / "r",
        "--train.steps",
        "100000",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not (tmp_path / "r" / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130 and "interrupted" in output
    assert list((tmp_path / "r" / "checkpoints").glob("step_*.safetensors"))


@pytest.mark.parametrize("layout", ["srn", "blender"])
def test_a_folder_of_meshes_is_drawn_trained_on_and_reported(run, tmp_path, layout):
    (tmp_path / "in").mkdir()
    for number in range(6):
        trimesh.creation.box((1, 1 + number, 1)).export(tmp_path / "in" / f"box{number}.ply")
    code, _, error = run_tool(
        "render_scenes", tmp_path / "in", tmp_path / "set", "--size", 16, "--views", 5, "--format", layout, "--workers", 1,
        "--val-share", 0.2, "--test-share", 0.2, "--supersample", 1,
    )  # fmt: skip
    assert code == 0, error
    config = CONFIG.replace("source: {name: procedural, train_scenes: 8, val_scenes: 2, test_scenes: 3, views: 6, size: 16}", "")
    source = f"source: {{name: {layout}, root: {tmp_path / 'set'}}}"
    (tmp_path / "own.yaml").write_text(source + config)
    code, output, error = run_tool("fit_scenes", tmp_path / "own.yaml", "--out", tmp_path / "run", "--train.steps", 4)
    assert code == 0, error + output
    assert len(list((tmp_path / "run" / "samples").glob("*.field.safetensors"))) == 1
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize("name", TOOLS)
def test_help_teaches_with_an_example(name):
    code, output, _ = call_tool(name, "--help")
    assert code == 0 and "example:" in output and f"python tools/{name}.py" in output
    assert len((ROOT / "tools" / f"{name}.py").read_text().splitlines()) < 40


def mistakes(run: Path, tmp: Path):
    bad = tmp / "bad.yaml"
    bad.write_text("train: {stpes: 3}")
    impossible = tmp / "impossible.yaml"
    impossible.write_text("train: {steps: -3}")
    text = tmp / "text.field.safetensors"
    text.write_text("hello")
    (tmp / "empty").mkdir()
    (tmp / "file").write_text("")
    new = tmp / "new"
    return {
        "no config": ("fit_scenes", ["none.yaml"], "none.yaml"),
        "unknown key": ("fit_scenes", [bad, "--out", new], "did you mean 'steps'"),
        "impossible value": ("fit_scenes", [impossible, "--out", new], "train.steps"),
        "unknown option": ("fit_scenes", [run.parent / "tiny.yaml", "--out", new, "--steps", "3"], "--steps"),
        "ignored option": ("fit_scenes", [run.parent / "tiny.yaml", "--out", new, "--source.image_size", "8"], "reads no images"),
        "views to score": ("fit_scenes", [run.parent / "tiny.yaml", "--out", new, "--evaluate.context_views", "[6]"], "too few"),
        "factors alone": ("fit_scenes", [run.parent / "tiny.yaml", "--out", new, "--hypernetwork.factors", "2"], "loss.spread"),
        "no root": ("fit_scenes", [run.parent / "tiny.yaml", "--out", new, "--source.name", "srn"], "unknown key source"),
        "missing root": (
            "fit_scenes",
            [ROOT / "configs" / "srn_cars.yaml", "--out", new, "--source.root", tmp / "none"],
            "none_train",
        ),
        "unwritable run": ("fit_scenes", [run.parent / "tiny.yaml", "--out", tmp / "file" / "run"], "file"),
        "no run": ("evaluate", [tmp / "empty"], "not a run folder"),
        "zero views": ("evaluate", [run, "--context-views", "0"], "at least 1"),
        "too many views": ("evaluate", [run, "--context-views", "6"], "too few"),
        "no scene": ("reconstruct", [run, "--scene", tmp / "none", "-o", tmp / "x"], "no such folder"),
        "odd folder": ("reconstruct", [run, "--scene", tmp / "empty", "-o", tmp / "x"], "no known format"),
        "no such view": ("reconstruct", [run, "--scene", "test-chairs-00000", "--views", "9", "-o", tmp / "x"], "views 0 to 5"),
        "unwritable output": ("reconstruct", [run, "--scene", "test-chairs-00000", "-o", tmp / "file" / "x"], "file"),
        "not a scene file": ("render_views", [text, "-o", tmp / "v.mp4"], "text.field.safetensors"),
        "no scene file": ("export_mesh", [tmp / "none.field.safetensors", "-o", tmp / "m.glb"], "no such scene file"),
        "mesh format": ("export_mesh", [text, "-o", tmp / "m.stl"], ".stl"),
        "video format": ("render_views", [text, "-o", tmp / "v.avi"], ".avi"),
        "page format": ("export_web", [text, "-o", tmp / "v.htm"], ".html"),
        "missing argument": ("export_mesh", [text], "-o"),
        "no meshes": ("render_scenes", [tmp / "empty", tmp / "out"], "no .glb"),
        "no mesh folder": ("render_scenes", [tmp / "nowhere", tmp / "out"], "no such folder"),
    }


CASES = ["no config", "unknown key", "impossible value", "unknown option", "ignored option", "views to score", "factors alone",
         "no root", "missing root", "unwritable run", "no run",
         "zero views", "too many views", "no scene", "odd folder", "no such view", "unwritable output", "not a scene file",
         "no scene file", "mesh format", "video format", "page format", "missing argument", "no meshes",
         "no mesh folder"]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_and_exit_code_2(run, tmp_path, case):
    cases = mistakes(run, tmp_path)
    assert set(cases) == set(CASES)
    name, arguments, message = cases[case]
    code, _, error = (run_tool if case == CASES[0] else call_tool)(name, *arguments)  # one as people run it
    assert code == 2, error
    assert len(error.strip().splitlines()) == 1 and message in error and "Traceback" not in error
    left = [
        p.name
        for p in tmp_path.rglob("*")
        if p.name in ("x", "v.mp4", "m.glb") or (p.suffix == ".yaml" and p.parent.name == "new")
    ]
    assert left == []


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_configs_are_valid_and_their_models_can_be_built(path):
    _, experiment = parse_config(load_yaml(path), str(path))
    Generator(experiment.generator)


def test_the_quickstarts_scene_file_is_small():
    _, experiment = parse_config(load_yaml(ROOT / "configs" / "quickstart.yaml"), "quickstart")
    numbers = sum(torch.Size(shape).numel() for shape in experiment.field.param_shapes.values())
    assert 2 * numbers + 2000 < 60_000


def test_the_readmes_commands_exist():
    readme = (ROOT / "README.md").read_text()
    for name in re.findall(r"tools/(\w+)\.py", readme):
        assert name in TOOLS


def test_reconstruct_adapts_and_says_what_it_brought(run, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # two processes sum alike, to the bit, if their threads are as many
    scene = tmp_path / "a.field.safetensors"
    code, output, error = run_tool(
        "reconstruct", run, "--scene", "test-chairs-00001", "--views", 0, 2, "--adapt", 4, "-o", scene
    )  # fmt: skip
    assert code == 0, error
    kept, before, after = re.search(r"adapted by (\d) of 4 steps: PSNR of a held-out view (\S+) -> (\S+) dB", output).groups()
    assert float(after) >= float(before) and (int(kept) > 0) == (float(after) > float(before))
    forward = tmp_path / "b.field.safetensors"
    run_tool("reconstruct", run, "--scene", "test-chairs-00001", "--views", 0, 2, "-o", forward)
    first, second = load_scene_file(scene).weights, load_scene_file(forward).weights
    same = all(torch.equal(value, second.tensors[name]) for name, value in first.tensors.items())
    assert same == (int(kept) == 0)
    code, _, error = run_tool("reconstruct", run, "--scene", "test-chairs-00001", "--adapt", -1, "-o", scene)
    assert code == 2 and "--adapt" in error


def test_an_exported_model_takes_a_runs_place(run, tmp_path):
    code, _, error = run_tool("export_model", run, "-o", tmp_path / "model")
    assert code == 0, error
    kept = sum(p.stat().st_size for p in (tmp_path / "model").rglob("*") if p.is_file())
    assert kept < 0.15 * sum(p.stat().st_size for p in (run / "checkpoints").glob("*_00000060*"))
    scene = [tmp_path / name for name in ("a.field.safetensors", "b.field.safetensors")]
    for model, path in zip((run, tmp_path / "model"), scene, strict=True):
        code, _, error = run_tool("reconstruct", model, "--scene", "test-chairs-00001", "--views", 0, 2, "-o", path)
        assert code == 0, error
    first, second = (load_scene_file(path).weights.tensors for path in scene)
    for name, value in first.items():  # 11 bits of mantissa
        assert (second[name] - value).abs().max() < 0.01 * value.abs().max()


def test_an_unknown_pretrained_model_is_named(tmp_path):
    code, _, error = run_tool("reconstruct", "pretrained:teapots", "--scene", tmp_path, "-o", tmp_path / "x")
    assert code == 2 and "pretrained:teapots" in error and len(error.strip().splitlines()) == 1


def test_folders_of_ones_own_are_checked_and_reconstructed(run, tmp_path):
    """A COLMAP scene and photos without cameras, written by hand."""
    lens = {"fx": 40.0, "fy": 40.0, "cx": 21.0, "cy": 14.0, "k1": -0.05}
    scene = physical.shots(lens, 4, 30, 44)
    physical.write_colmap(tmp_path / "own", scene, lens, "SIMPLE_RADIAL", binary=True)
    code, output, error = run_tool("check_scenes", tmp_path / "own", "-o", tmp_path / "check.png", "--json", tmp_path / "c.json")
    assert code == 0, error
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["format"] == "colmap" and found["views"] == [4] and found["sphere"]["radius"] == 1
    assert all(trap["mend"] in output and trap["scenes"] == [str(tmp_path / "own")] for trap in found["traps"]) and found["traps"]
    assert "format colmap, scenes: 1, views each: 4" in output and "not plain" in output and "44x30" in output
    assert iio.imread(tmp_path / "check.png").shape[1] > 1000
    scene_file = tmp_path / "own.field.safetensors"
    code, output, error = run_tool(
        "reconstruct", run, "--scene", tmp_path / "own", "--source.square", "frame", "-o", scene_file
    )  # fmt: skip
    assert code == 0, error
    assert "4 views" in output and load_scene_file(scene_file).name == "own"
    code, _, error = run_tool("reconstruct", run, "--scene", tmp_path / "own" / "images", "-o", scene_file)
    assert code == 2 and "photos without cameras" in error and "configs/pose_free.yaml" in error

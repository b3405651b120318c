"""Models that come with the library: exported with their card, packaged, found by name, and used without anything else."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hypernerf.cli import export_model, reconstruct
from hypernerf.cli.common import parse_config
from hypernerf.cli.session import from_pretrained, load_run
from hypernerf.cli.taking_up import Settings
from hypernerf.config import dump_yaml, load_yaml
from hypernerf.fields import load_scene_file
from hypernerf.models import Generator
from hypernerf.training import Trainer
from hypernerf.types import InputError
from scenes.procedural import ProceduralConfig
from scenes.srn import SrnConfig
from tests.conftest import tiny

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.usefixtures("_one_thread")
ROOT = Path(__file__).parents[2]
SCORES = {"psnr": 21.239, "ssim": 0.8123, "lpips": None}
METRICS = {
    "scenes": 32,
    "context_views": {"1": SCORES, "3": {**SCORES, "psnr": 23.5}},
    "baselines": {"mean_field": {**SCORES, "psnr": 14.25}},
    "training": {"scenes": 4, "machine": "Some CPU, 1 thread", "step": 20, "minutes": 119.9},
    "mesh": {"context_views": 3, "mask_iou": 0.875, "mean_field": {"mask_iou": 0.5}},
}


@pytest.fixture(scope="module")
def shipped(stored, tmp_path_factory):
    """The folder of the library's own models, with a tiny one in it that tools/export_model.py wrote."""
    folder, experiment = tmp_path_factory.mktemp("shipped"), tiny()
    source = ProceduralConfig(size=16, views=6, train_scenes=4, root="/a/place/of/ours")
    Trainer(experiment, stored, folder / "run").save()
    (folder / "run" / "config.yaml").write_text(dump_yaml(Settings(source, experiment).to_dict()))
    (folder / "run" / "metrics.json").write_text(json.dumps(METRICS))
    (folder / "run" / "held_out.json").write_text(json.dumps({**METRICS, "scenes": 51}))
    export_model.main([str(folder / "run"), "-o", str(folder / "pretrained" / "tiny")])
    return folder / "pretrained"


@pytest.fixture
def _shipped(shipped, monkeypatch):
    monkeypatch.setattr("hypernerf.cli.pretrained.SHIPPED", shipped)


@pytest.mark.usefixtures("_shipped")
def test_a_model_of_the_library_reconstructs_an_unseen_object(tmp_path):
    file = tmp_path / "chair.field.safetensors"
    reconstruct.main(["pretrained:tiny", "--scene", "test-chairs-00000", "--views", "0", "2", "3", "-o", str(file)])
    field, run = load_scene_file(file), from_pretrained("pretrained:tiny")
    assert field.weights.spec == run.experiment.field and field.transform == run.transform
    assert run.source.root is None  # a place on the machine that trained
    with pytest.raises(InputError, match="no such model comes with the library, only: pretrained:tiny"):
        from_pretrained("pretrained:chairs")


def test_models_of_folders_can_be_read_and_name_no_place(stored, tmp_path):
    experiment, source = tiny(), SrnConfig(name="srn", root="/a/place/of/ours")
    Trainer(experiment, stored, tmp_path / "run").save()
    (tmp_path / "run" / "config.yaml").write_text(dump_yaml(Settings(source, experiment).to_dict()))
    export_model.main([str(tmp_path / "run"), "-o", str(tmp_path / "model")])
    run = load_run(str(tmp_path / "model"))
    assert run.source == replace(source, root=None)
    assert "place/of/ours" not in (tmp_path / "model" / "config.yaml").read_text()


@pytest.mark.usefixtures("_shipped")
def test_small_files_of_its_scenes_need_no_training_scenes(shipped, tmp_path, monkeypatch):
    def missing(*_):
        raise AssertionError("looked for training scenes")

    monkeypatch.setattr("hypernerf.cli.shared_base.some_training_scenes", missing)
    before = sorted(shipped.rglob("*"))
    scene = ["pretrained:tiny", "--scene", "test-chairs-00000", "--views", "0", "2", "3"]
    file = tmp_path / "chair.field.safetensors"
    reconstruct.main([*scene, "--delta", "-o", str(file)])
    assert len(list(tmp_path.glob("base-*.safetensors"))) == 1 and sorted(shipped.rglob("*")) == before
    assert load_scene_file(file).weights.spec == from_pretrained("pretrained:tiny").experiment.field


def test_every_file_of_a_model_is_packaged(shipped):
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = settings["package-data"]["hypernerf"]
    files = [path.relative_to(shipped.parent) for path in shipped.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"config.yaml", "README.md", "base.safetensors", "step_00000000.safetensors"}
    for path in files:
        assert any(path.match(pattern) and len(path.parts) == len(Path(pattern).parts) for pattern in patterns), path


def test_its_card_gives_data_budget_figures_and_limits(shipped):
    card = (shipped / "tiny" / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\n") and "\n# tiny\n" in card
    assert "`procedural` (chairs; made on the fly, seed 0), 4 scenes" in card
    assert "0 steps in 120 minutes (Some CPU, 1 thread)" in card
    assert "| 1 context view | 21.24 | 0.812 |" in card and "| mean field | 14.25 | 0.812 |" in card
    assert "51 unseen scenes" in card and "IoU 0.875" in card and "/a/place" not in card
    assert "with 1 to 3 context views" in card and "sphere at [0.0, 0.0, 0.0] of radius 1" in card


def test_a_card_says_when_nothing_was_measured(shipped, tmp_path):
    export_model.main([str(shipped / "tiny"), "-o", str(tmp_path / "again")])
    card = (tmp_path / "again" / "README.md").read_text()
    assert "Not measured" in card and "PSNR" not in card


def test_the_two_models_fit_in_twenty_megabytes_together():
    """In half precision, beside the mean code and image, for which 0.6 MB are enough."""
    total = 0
    for name in ("categories", "meshes"):
        file = ROOT / "configs" / f"pretrained_{name}.yaml"
        _, experiment = parse_config(load_yaml(file), str(file))
        size = 2 * sum(p.numel() for p in Generator(experiment.generator).parameters()) + 0.6e6
        assert size < 9.5e6
        total += size
    assert total < 20e6


def test_a_model_is_not_written_over_another_or_into_its_run(shipped, tmp_path):
    """The newest step would count, whose configuration it is not; and a run that lost its state cannot go on."""
    run = shipped.parent / "run"
    with pytest.raises(InputError, match="is the run itself"):
        export_model.main([str(run), "-o", str(run)])
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step_00000007.safetensors").write_text("an older model")
    with pytest.raises(InputError, match="holds a model of step 7 already"):
        export_model.main([str(run), "-o", str(tmp_path)])

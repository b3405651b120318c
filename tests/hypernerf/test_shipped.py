"""The models that come with the library, themselves: small, described, and worth having on objects they have never seen."""

import torch

from hypernerf.cli.common import open_source
from hypernerf.cli.pretrained import SHIPPED
from hypernerf.cli.session import from_pretrained
from hypernerf.training import evaluate_fields, normalized, reconstruct, store_scene
from scenes.procedural import ProceduralConfig

MODELS = ("categories", "meshes")


def test_they_fit_in_twenty_megabytes_together_and_have_cards():
    assert sorted(path.name for path in SHIPPED.iterdir()) == sorted(MODELS)
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) < 20e6
    for name in MODELS:
        card = (SHIPPED / name / "README.md").read_text()
        assert "unseen scenes" in card and "Not measured" not in card


def scores_of_unseen_objects(name, cache):
    """PSNR of unseen views of chairs, cars and lamps from 1, 3 and 5 others, and of the model's mean field."""
    run = from_pretrained(f"pretrained:{name}")
    source = open_source(ProceduralConfig(categories=("chairs", "cars", "lamps"), test_scenes=6, views=8, cache=str(cache)))
    scenes = normalized([store_scene(source.load(name)) for name in source.scene_ids("test")], run.transform)
    assert {scene.scene_id.split("-")[1] for scene in scenes} == {"chairs", "cars", "lamps"}
    targets, settings = [5, 6, 7], run.experiment.render

    def score(fields):
        return evaluate_fields(scenes, fields, lambda scene: targets, settings).psnr

    with torch.no_grad():
        mean = run.generator.generate(run.mean_code)
    psnr = {n: score(lambda scene, n=n: reconstruct(run.generator, scene, range(n))) for n in (1, 3, 5)}
    return psnr, score(lambda scene: mean)


def test_a_few_images_of_unseen_chairs_cars_and_lamps_say_what_they_look_like(tmp_path):
    psnr, guess = scores_of_unseen_objects("categories", tmp_path)
    assert guess + 2 < psnr[1] < psnr[3] < psnr[5]


def test_a_model_of_other_things_reads_them_too(tmp_path):
    psnr, guess = scores_of_unseen_objects("meshes", tmp_path)
    assert guess + 2 < psnr[1] < psnr[3] < psnr[5]

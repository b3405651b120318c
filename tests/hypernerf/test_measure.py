"""The evaluation of a run."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from hypernerf.cli.common import open_source
from hypernerf.cli.measure import Adapting, measure
from hypernerf.cli.measure_shape import mask_iou
from hypernerf.cli.session import Run
from hypernerf.export import ExtractedMesh
from hypernerf.geometry import camera_rays
from hypernerf.models import Generator
from hypernerf.rendering import RenderSettings
from hypernerf.training import EvaluateConfig, StoredScene, evaluate_fields, mean_code, mean_image, reconstruct, target_views
from hypernerf.types import InputError
from scenes.procedural import ProceduralConfig
from tests.conftest import orbit, tiny

pytestmark = pytest.mark.usefixtures("_one_thread")


@pytest.fixture(scope="module")
def run(stored, tmp_path_factory):
    evaluate = EvaluateConfig(context_views=(1, 2), max_target_views=2)
    experiment = replace(tiny(), evaluate=evaluate, render=RenderSettings(samples=8, grid=16))
    torch.manual_seed(0)
    generator = Generator(experiment.generator).eval().requires_grad_(False)
    source = ProceduralConfig(size=16, views=6, train_scenes=4)
    return Run(
        tmp_path_factory.mktemp("run"), source, experiment, generator, mean_code(generator, stored, 3), mean_image(stored), 7
    )


def test_every_score_is_of_the_same_views_and_of_no_view_that_is_read(run, stored):
    result = measure(run, stored[:2], [2, 1])
    assert list(result.metrics["context_views"]) == ["1", "2"] and result.metrics["step"] == 7
    config = run.experiment.evaluate
    for count in (1, 2):
        alone = evaluate_fields(
            stored[:2],
            lambda scene, count=count: reconstruct(run.generator, scene, range(count)),
            lambda scene: [view for view in target_views(scene, config, [1, 2]) if view >= 2],
            run.experiment.render,
        )
        assert result.metrics["context_views"][str(count)]["psnr"] == pytest.approx(alone.psnr, abs=1e-4)
    assert len(result.rows) == len(result.fields) == 2 and len(result.rows[0].context) == 2


def test_adapted_scores_stand_beside_those_of_the_forward_pass(run, stored):
    maskless = [replace(stored[0], masks=None)]
    plain, both = measure(run, maskless, [1, 2]), measure(run, maskless, [1, 2], adapting=Adapting(3, (2,)))
    assert both.metrics["context_views"] == plain.metrics["context_views"] and "adapted" not in plain.metrics
    assert both.metrics["adapted"]["steps"] == 3 and set(both.metrics["adapted"]["context_views"]) == {"2"}
    with pytest.raises(InputError, match="adapt only to numbers"):
        measure(run, stored[:1], [1], adapting=Adapting(3, (2,)))


def test_scenes_with_exact_shapes_have_shape_scores_and_others_those_of_masks(run, stored):
    source = open_source(run.source)
    assert "shape" in measure(run, stored[:1], [1], source).metrics
    metrics = measure(run, stored[:1], [1]).metrics
    assert metrics["mesh"] == {"context_views": 1, "mask_iou": 0.0, "mean_field": {"mask_iou": 0.0}}  # fog has no mesh
    assert "mesh" not in measure(run, [replace(stored[0], masks=None)], [1]).metrics


def test_a_ball_covers_the_masks_of_a_ball_wherever_the_user_has_it(scene_field):
    """The scene sphere is about (1, 2, 3), of radius 2; cameras are in the sphere's own coordinates."""
    cameras = orbit(4, size=48)
    rays = camera_rays(cameras)
    sphere = trimesh.creation.icosphere(4, 1.0).apply_translation([1, 2, 3])
    mesh = ExtractedMesh(np.asarray(sphere.vertices), np.asarray(sphere.faces), np.ones((len(sphere.vertices), 3)))
    along = -(rays.origins * rays.directions).sum(-1, keepdim=True)
    distance = (rays.origins + along * rays.directions).norm(dim=-1)
    masks = (distance < 0.5).to(torch.uint8) * 255
    scene = StoredScene("ball", masks[..., None].expand(-1, -1, -1, 3), masks, cameras, torch.ones(3))
    assert mask_iou(scene_field, mesh, scene, [0, 2]) > 0.97
    half = masks.clone()
    half[:, :, 24:] = 0  # the ball is in the images' middle
    assert mask_iou(scene_field, mesh, replace(scene, masks=half), [0, 2]) == pytest.approx(0.5, abs=0.03)
    assert mask_iou(scene_field, None, scene, [0, 2]) == 0

import dataclasses
import os
import signal
import sys
import types

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from hypernerf.geometry import camera_rays
from hypernerf.models import HypernetworkConfig
from hypernerf.training import (
    EvaluateConfig,
    Trainer,
    check_views,
    evenly,
    mean_code,
    mean_image,
    nearest_context_view,
    reconstruct,
    shared_sphere,
    shared_up,
    target_views,
)  # fmt: skip
from hypernerf.training.batches import BatchConfig, draw_jitter, sample_batch
from hypernerf.training.checkpoint import load_checkpoint, load_for_resuming, saved_steps
from hypernerf.training.geometry_metrics import chamfer_l1, grid_centers, grid_iou, score_shape
from hypernerf.training.losses import LossConfig, reconstruction_loss
from hypernerf.training.metrics import lpips_metric, psnr, ssim
from hypernerf.training.objective import looked_at
from hypernerf.training.pixels import draw_pixels, silhouette_edges
from hypernerf.training.schedule import learning_rate_factor
from hypernerf.training.store import context_views, with_hulls
from hypernerf.types import InputError, RenderOutput
from tests.conftest import tiny


def test_psnr_and_ssim_agree_with_scikit_image():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 3, 20, 17, 3)).astype(np.float32)
    second = 0.7 * first + 0.3 * second
    for i in range(3):
        expected = peak_signal_noise_ratio(first[i], second[i], data_range=1)
        assert psnr(torch.tensor(first), torch.tensor(second))[i].item() == pytest.approx(expected, abs=1e-4)
        expected = structural_similarity(
            first[i], second[i], channel_axis=2, gaussian_weights=True, use_sample_covariance=False, data_range=1, sigma=1.5
        )
        assert ssim(torch.tensor(first), torch.tensor(second))[i].item() == pytest.approx(expected, abs=1e-4)


def test_lpips_is_asked_in_its_own_range_and_axes(monkeypatch):
    class Network(torch.nn.Module):
        def __init__(self, net: str, verbose: bool) -> None:
            super().__init__()
            assert net == "alex"

        def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
            assert first.shape[1] == 3  # channels first
            return (first - second).abs().amax((1, 2, 3), keepdim=True)

    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=Network))
    metric, reason = lpips_metric()
    assert reason == ""
    assert metric(torch.zeros(2, 4, 5, 3), torch.ones(2, 4, 5, 3)).tolist() == [2, 2]  # -1..1


def test_without_lpips_the_reason_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)  # as if it were not installed
    metric, reason = lpips_metric()
    assert metric is None and "pip install" in reason

    def no_download(**_):
        raise OSError("no network")

    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=no_download))
    metric, reason = lpips_metric()
    assert metric is None and "no network" in reason


def test_shape_metrics_of_two_balls():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(4000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert chamfer_l1(0.5 * directions, 0.6 * directions) == pytest.approx(0.1, abs=0.01)
    inside = lambda r: np.linalg.norm(grid_centers(48), axis=1) < r
    assert grid_iou(inside(0.5), inside(0.6)) == pytest.approx((5 / 6) ** 3, abs=0.02)
    assert grid_iou(inside(0), inside(0)) == 1
    scores = score_shape(inside(0.5), None, lambda p: np.linalg.norm(p, axis=1) < 0.5, directions, 48)
    assert scores.iou == 1 and scores.chamfer == 1


def test_the_loss_is_that_of_its_formula(stored):
    batch = sample_batch(stored, BatchConfig(scenes=2, rays=8), 0, 0)
    output = RenderOutput(batch.target_colors + 0.1, batch.target_masks * 0.5, torch.zeros(2, 8))
    loss, error = reconstruction_loss(output, batch, LossConfig(opacity=0.2))
    importance = batch.target_importance
    assert importance.std() > 0.1 and error.item() == pytest.approx(0.01 * importance.mean().item(), rel=1e-4)
    opacity = (importance * (0.5 * batch.target_masks).square()).mean().item()
    assert loss.item() == pytest.approx(error.item() + 0.2 * opacity, rel=1e-4)


def test_a_batch_is_a_function_of_seed_and_step(stored):
    config = BatchConfig(scenes=3, rays=16)
    first, again, other = (sample_batch(stored, config, 5, step) for step in (7, 7, 8))
    assert torch.equal(first.target_colors, again.target_colors) and not torch.equal(first.target_colors, other.target_colors)
    assert first.context.images.shape[1] in (1, 2, 3)


def test_a_place_of_a_batch_is_the_same_whoever_draws_the_others(stored):
    config = BatchConfig(scenes=5, rays=16, swap_colors=True, mirror="y")
    scenes = with_hulls(stored)
    whole, part, one = (sample_batch(scenes, config, 5, 7, slots) for slots in (None, range(2, 5), [3]))
    for other, places in ((part, [2, 3, 4]), (one, [3])):
        assert other.scene_ids == tuple(whole.scene_ids[place] for place in places)
        for name in ("target_colors", "target_masks", "hull_points", "hull_inside"):
            assert torch.equal(getattr(other, name), getattr(whole, name)[places])
        assert torch.equal(other.context.images, whole.context.images[places])
        assert torch.equal(other.target_rays.directions, whole.target_rays.directions[places])
    jitter = draw_jitter(5, 7, range(5), 16, 8)
    assert torch.equal(draw_jitter(5, 7, range(2, 5), 16, 8), jitter[2:]) and jitter.min() >= 0 and jitter.max() < 1
    assert len(jitter.flatten().unique()) > 0.99 * jitter.numel() and not torch.equal(draw_jitter(5, 8, range(5), 16, 8), jitter)


def test_a_place_knows_masks_and_hulls_only_where_all_of_the_batch_do(stored):
    some = with_hulls([dataclasses.replace(stored[0], masks=None), *stored[1:]])
    batch = sample_batch(some, BatchConfig(scenes=4, rays=16), 0, 0, [0, 1])
    assert batch.target_masks is None and batch.hull_points is None
    batch = sample_batch(some[1:], BatchConfig(scenes=3, rays=16), 0, 0, [0, 1])
    assert batch.target_masks.shape == (2, 16) and batch.hull_points.shape[0] == 2


def test_what_is_looked_at_is_spread_over_the_batch_and_shared_by_its_parts():
    assert looked_at(range(64), 64) == tuple(range(0, 64, 8)) and looked_at(range(3), 3) == (0, 1, 2)
    parts = [looked_at(range(6 * rank, 6 * rank + 6), 12) for rank in range(2)]
    assert (*parts[0], *(6 + place for place in parts[1])) == looked_at(range(12), 12) and len(parts[0]) == len(parts[1]) == 4


def test_target_rays_show_their_pixels(stored):
    batch = sample_batch(stored[:1], BatchConfig(scenes=1, rays=24), 0, 0)
    rays = camera_rays(stored[0].cameras)
    for ray in range(24):
        same = (rays.directions - batch.target_rays.directions[0, ray]).abs().amax(-1) < 1e-6
        same &= (rays.origins - batch.target_rays.origins[0, ray]).abs().amax(-1) < 1e-6
        view, row, column = (int(i) for i in same.nonzero()[0])
        assert torch.allclose(stored[0].images[view, row, column].float() / 255, batch.target_colors[0, ray])
        assert stored[0].masks[view, row, column].item() / 255 == batch.target_masks[0, ray]


def test_colors_change_places_scene_by_scene_and_nothing_else_changes(stored):
    stored = [dataclasses.replace(scene, background=torch.tensor([0.1, 0.2, 0.3])) for scene in stored]
    plain = sample_batch(stored, BatchConfig(scenes=4, rays=16), 3, 1)
    swapped = sample_batch(stored, BatchConfig(scenes=4, rays=16, swap_colors=True), 3, 1)
    assert torch.equal(plain.target_rays.directions, swapped.target_rays.directions)
    assert torch.equal(plain.target_masks, swapped.target_masks)
    orders = [torch.argsort(swapped.context.background[scene]).argsort() for scene in range(4)]
    assert len({tuple(order.tolist()) for order in orders}) > 1
    for scene, order in enumerate(orders):
        assert torch.equal(swapped.context.background[scene], plain.context.background[scene][order])
        assert torch.equal(swapped.context.images[scene], plain.context.images[scene][..., order])
        assert torch.equal(swapped.target_colors[scene], plain.target_colors[scene][:, order])


def test_rays_are_drawn_at_silhouettes_on_the_object_and_anywhere(stored):
    touched = [(scene.masks > 0).numpy() for scene in stored]  # pixels that the object covers at least in part
    at_edge = np.mean([one[silhouette_edges(one)].mean() for one in touched])
    means = [(sample_batch(stored, BatchConfig(scenes=4, rays=40), 0, s).target_masks > 0).float().mean() for s in range(12)]
    assert np.mean(means) == pytest.approx(0.5 * at_edge + 0.3 + 0.2 * np.mean(touched), abs=0.05)


@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.5), (0.3, 0.4), (0.5, 0.3)])
def test_importance_makes_up_for_where_rays_are_drawn(shares):
    rng = np.random.default_rng(3)
    inside, edge, values = rng.random(40) < 0.25, rng.random(40) < 0.2, rng.normal(size=40)
    assert (inside & edge).any() and (inside & ~edge).any() and (~inside & edge).any()
    groups = list(zip((inside, edge), shares, strict=True))
    drawn = [draw_pixels(groups, 40, 10, rng) for _ in range(20_000)]
    estimates = np.array([(values[one.pixels] * one.importance).mean() for one in drawn])
    error = estimates.std() / len(estimates) ** 0.5
    assert estimates.mean() == pytest.approx(values.mean(), abs=4 * error) and error < 0.012
    assert np.mean([one.importance.mean() for one in drawn]) == pytest.approx(1, abs=0.01)
    rest = 1 - sum(shares)
    for group, there in ((inside, edge), (edge, inside)):
        own, other = shares if group is inside else shares[::-1]
        expected = own + other * (group & there).sum() / there.sum() + rest * group.mean()
        assert np.mean([group[one.pixels].mean() for one in drawn]) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("groups", [[], [(np.zeros(40, bool), 0.5)]])
def test_all_pixels_count_alike_where_no_object_is_known_or_seen(groups):
    drawn = draw_pixels(groups, 40, 10, np.random.default_rng(0))
    assert drawn.importance == pytest.approx(1) and np.ptp(drawn.pixels) > 10


@pytest.mark.parametrize(("size", "reach"), [(64, 2), (20, 1)])
def test_edges_are_what_is_near_to_both_sides_of_a_silhouette(size, reach):
    inside = np.random.default_rng(1).random((2, size, size)) < 0.02
    inside[:, 3:9, 4:15] = True
    edges = silhouette_edges(inside)
    for view, row, column in np.ndindex(*edges.shape):
        around = inside[view, max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
        assert edges[view, row, column] == (around.any() and not around.all())
    assert (
        not silhouette_edges(np.zeros((1, size, size), bool)).any() and not silhouette_edges(np.ones((1, size, size), bool)).any()
    )


def test_the_learning_rate_warms_up_and_ends_at_nothing():
    values = [learning_rate_factor(p, 0.1) for p in np.linspace(0, 1, 101)]
    assert values[0] < 0.05 and max(values) == pytest.approx(1, abs=0.01) and values[-1] == pytest.approx(0, abs=1e-6)
    assert values[10:] == sorted(values[10:], reverse=True)


def test_training_learns_and_resumes_to_the_bit(stored, tmp_path):
    straight = Trainer(tiny(validations=2, checkpoint_every=10), stored, tmp_path / "a")
    losses, validations = [], []
    assert straight.run(lambda report: losses.append(report.loss), lambda t: validations.append(t.step))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) and validations == [10, 20] and saved_steps(tmp_path / "a") == [10, 20]

    first = Trainer(tiny(checkpoint_every=7), stored, tmp_path / "b")
    assert not first.run(lambda report: os.kill(os.getpid(), signal.SIGTERM) if report.step == 13 else None, lambda t: None)
    assert saved_steps(tmp_path / "b") == [7, 13]
    torch.manual_seed(123)  # of no weight: nothing is drawn from the global generator
    second = Trainer(tiny(), stored, tmp_path / "b")
    second.resume(load_for_resuming(tmp_path / "b"))
    assert second.step == 13 and second.run(lambda report: None, lambda t: None)
    for (name, one), two in zip(straight.model.state_dict().items(), second.model.state_dict().values(), strict=True):
        assert torch.equal(one, two), name
    _, tensors = load_checkpoint(tmp_path / "b")
    assert tensors["mean_code.seen"].shape[0] == 1 and tensors["mean_image"].shape == (16, 16, 3)


def test_between_steps_nothing_is_held_that_was_not_there_before(stored, tmp_path):
    """Gradients and a grid at ever new places of the heap made it grow for hours."""
    trainer = Trainer(tiny(steps=2, occupancy_every=1), stored, tmp_path)
    grid, at_first = trainer.occupancy.values, trainer.occupancy.values.clone()
    assert trainer.run(lambda report: None, lambda trainer: None)
    assert all(parameter.grad is None for parameter in trainer.model.parameters())
    assert trainer.occupancy.values is grid and not torch.equal(grid, at_first)


def test_a_checkpoint_of_another_model_is_refused(stored, tmp_path):
    Trainer(tiny(), stored, tmp_path).save()
    other = Trainer(dataclasses.replace(tiny(), hypernetwork=HypernetworkConfig(latent=16, width=64)), stored, tmp_path)
    with pytest.raises(InputError, match="does not fit"):
        other.resume(load_for_resuming(tmp_path))


def test_baselines(stored):
    scene = stored[0]
    nearest = nearest_context_view(scene, [0, 3], [3, 0, 0])
    assert torch.equal(nearest, scene.image([3, 0, 0]))
    assert mean_image(stored).shape == (16, 16, 3)
    model = Trainer(tiny(), stored, None).average
    mean = mean_code(model, stored, 2)
    each = [model.encode(context_views([s], [0, 1])) for s in stored]
    assert torch.allclose(mean.latent, torch.cat([c.latent for c in each]).mean(0, keepdim=True), atol=1e-5)
    for name in ("learned", "seen"):
        expected = torch.cat([getattr(code.lifted, name) for code in each]).mean(0, keepdim=True)
        assert torch.allclose(getattr(mean.lifted, name), expected, atol=1e-5)
    assert len(reconstruct(model, scene, [0])) == 1


def test_targets_are_views_that_no_count_reads(stored):
    config = EvaluateConfig(max_target_views=2)
    assert set(target_views(stored[0], config, [1, 3])) <= {3, 4, 5} and len(target_views(stored[0], config, [1, 3])) == 2
    assert target_views(stored[0], EvaluateConfig(context={1: (2,)}), [1]) == [0, 1, 3, 4, 5]


def test_sphere_and_up_of_procedural_scenes(stored):
    sphere = shared_sphere(stored)
    assert sphere.radius == pytest.approx(1, abs=0.02) and max(map(abs, sphere.center)) < 0.01
    assert shared_up(stored) == (0.0, 0.0, 1.0)


def test_minutes_end_a_run(stored, tmp_path):
    trainer = Trainer(tiny(steps=10**6, minutes=0.01), stored, tmp_path)
    minutes: list[float] = []
    assert trainer.run(lambda report: minutes.append(report.minutes), lambda t: None)
    assert max(minutes[:-1], default=0) < 0.01 <= minutes[-1] == trainer.minutes  # the first step that reaches them is the last


def test_a_run_made_longer_is_validated_again(stored, tmp_path):
    """Where ten of ten validations were made, half of them are due again once there is twice as much to do."""
    seen: list[int] = []
    short = tiny(steps=10, validations=5)
    Trainer(short, stored, tmp_path).run(lambda r: None, lambda trainer: seen.append(trainer.step))
    assert seen == [2, 4, 6, 8, 10]
    longer = Trainer(tiny(steps=20, validations=5), stored, tmp_path)
    longer.resume(load_for_resuming(tmp_path))
    longer.run(lambda r: None, lambda trainer: seen.append(trainer.step))
    assert seen == [2, 4, 6, 8, 10, 12, 16, 20]


@pytest.mark.parametrize(("count", "most"), [(7, 3), (3, 7), (5, 5), (600, 256), (1, 1)])
def test_some_of_many_are_spread_over_all(count, most):
    chosen = evenly(range(count), most)
    assert len(chosen) == min(count, most) == len(set(chosen)) and chosen[0] == 0
    assert max(np.diff([*chosen, count])) <= -(-count // len(chosen))


def test_scenes_that_cannot_be_scored_are_named(stored):
    check_views(stored, EvaluateConfig(), [1, 3])
    with pytest.raises(InputError, match=rf"{stored[0].scene_id}: 6 views are too few for context views \[6\]"):
        check_views(stored, EvaluateConfig(), [6])
    small = [dataclasses.replace(stored[0], images=stored[0].images[:, :10, :10])]
    with pytest.raises(InputError, match="10x10 are too small"):
        check_views(small, EvaluateConfig(), [1])
    parallel = dataclasses.replace(stored[0].cameras, camera_to_world=stored[0].cameras.camera_to_world[:1].expand(6, 4, 4))
    with pytest.raises(InputError, match=rf"{stored[0].scene_id}: the cameras look in parallel"):
        shared_sphere([dataclasses.replace(stored[0], cameras=parallel)])

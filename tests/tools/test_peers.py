"""What is ours of the comparison with published methods; nothing here needs a clone of theirs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hypernerf.fields import FieldSpec
from hypernerf.geometry import camera_rays, project
from hypernerf.rendering import RenderSettings
from hypernerf.training import EvaluateConfig, Experiment, TrainConfig, nearest_context_view, store_scene, target_views
from hypernerf.training.metrics import psnr
from hypernerf.types import InputError
from peers import resnet
from peers.command import PEERS, _parse, _plan
from peers.common import (
    Material,
    Moment,
    depth_bounds,
    draw_support_and_query,
    posed_images,
    require_centered,
    require_white,
    scene_batch,
    support_and_query,
)
from peers.loop import Plan, train
from peers.pixel_nerf import _camera_form, object_boxes
from peers.repository import StandIn, checked_out_commit, stand_in
from peers.scoring import scores_of
from peers.scratch import Scratch, ScratchConfig
from scenes.procedural import ProceduralConfig, ProceduralSource


@pytest.fixture(scope="module")
def stored():
    source = ProceduralSource(ProceduralConfig(size=16, views=6, train_scenes=5))
    return [store_scene(source.load(name)) for name in source.scene_ids("train")]


class Echo:
    """A peer that answers with what it was told to."""

    def __init__(self, answer, loss=lambda step: 1.0) -> None:
        self.model = nn.Linear(2, 2)
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.answer, self.loss, self.drawn = answer, loss, []

    def step(self, moment: Moment) -> float:
        self.drawn.append((moment.step, np.random.rand(), torch.rand(1).item()))
        self.model(torch.ones(2)).sum().backward()
        self.optimizer.step()
        return self.loss(moment.step)

    def predict(self, scene, views, targets):
        return self.answer(scene, views, targets)


def test_poses_are_those_of_opengl_cameras(stored):
    """Pixel (i, j) is seen along R ((j + 1/2 - w/2) / f, -(i + 1/2 - h/2) / f, -1) there."""
    views = posed_images(stored[0], [1, 4])
    row, column = torch.meshgrid(torch.arange(16) + 0.5, torch.arange(16) + 0.5, indexing="ij")
    ours = camera_rays(stored[0].cameras[[1, 4]])
    for view in range(2):
        fx, fy = views.focals[view]
        local = torch.stack([(column - 8) / fx, -(row - 8) / fy, -torch.ones_like(row)], dim=-1)
        theirs = nn.functional.normalize(torch.einsum("ab,ijb->ija", views.poses[view, :, :3], local), dim=-1)
        assert torch.allclose(theirs, ours.directions[view], atol=1e-5)
        assert torch.equal(views.poses[view, :, 3], ours.origins[view, 0, 0])
    assert torch.equal(views.images[1].permute(1, 2, 0), stored[0].image(4))


def test_pixel_nerf_is_told_centers_for_whole_pixel_numbers(stored):
    """It projects to -x/z f + cx, -y/z (-f) + cy with pixel centers at whole numbers, half a pixel from ours."""
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)) * 0.4
    _, poses, focal, center = _camera_form(stored[1], [0, 3, 5])
    local = torch.einsum("vji,vpj->vpi", poses[:, :3, :3], points - poses[:, None, :3, 3])
    theirs = -local[..., :2] / local[..., 2:] * focal * torch.tensor([1.0, -1.0]) + center
    ours = project(points, stored[1].cameras[[0, 3, 5]]) * 16 - 0.5
    assert torch.allclose(theirs, ours, atol=1e-4)


def test_boxes_are_tight(stored):
    boxes = object_boxes(stored[0])
    for view, (left, top, right, bottom) in enumerate(boxes.int().tolist()):
        shown = stored[0].images[view].numpy().min(-1) < 255
        inside = np.zeros_like(shown)
        inside[top : bottom + 1, left : right + 1] = True
        assert not shown[~inside].any()
        for edge in (shown[top], shown[bottom], shown[:, left], shown[:, right]):
            assert edge.any()
    blank = replace(stored[0], images=torch.full_like(stored[0].images, 255))
    assert object_boxes(blank)[0].tolist() == [0, 0, 15, 15]


def test_an_epoch_is_every_scene_once_and_the_next_another_order(stored):
    def names(epoch: int) -> list[str]:
        steps = range(5 * epoch, 5 * epoch + 5)
        return [scene_batch(stored, 1, Moment(0, step, 0.0))[0].scene_id for step in steps]

    assert sorted(names(0)) == sorted(scene.scene_id for scene in stored)
    assert names(0) != names(1) and names(1) == names(1)
    assert len(scene_batch(stored, 2, Moment(0, 1, 0.0))) == 2 and len(scene_batch(stored, 99, Moment(0, 7, 0.0))) == 5


def test_queries_show_the_object_and_are_not_read(stored):
    images = stored[0].images.clone()
    images[[0, 2, 3]] = 255
    scene, rng = replace(stored[0], images=images), np.random.default_rng(0)
    seen = set()
    for _ in range(40):
        supports, (query,) = draw_support_and_query(scene, 3, rng)
        assert len({*supports, query}) == 4
        seen.add(query)
    assert seen == {1, 4, 5}
    support, query = support_and_query(stored[:3], 2, rng)
    assert support.images.shape == (3, 2, 3, 16, 16) and query.poses.shape == (3, 1, 3, 4) and query.focals.shape == (3, 1, 2)


def test_depth_bounds_hold_the_sphere(stored):
    near, far = depth_bounds(stored)
    points = nn.functional.normalize(torch.randn(500, 3), dim=-1)
    distances = (stored[0].cameras.positions[:, None] - points).norm(dim=-1)
    assert near <= distances.min() and distances.max() <= far and far - near == pytest.approx(2, abs=1e-3)


def test_what_peers_cannot_read_is_refused(stored):
    require_white(stored), require_centered(stored)
    with pytest.raises(InputError, match=r"source\.background"):
        require_white([replace(stored[0], background=torch.tensor([1.0, 1.0, 0.9]))])
    cameras = replace(stored[0].cameras, intrinsics=stored[0].cameras.intrinsics + torch.tensor([0, 0, 0.5, 0]))
    with pytest.raises(InputError, match="middle"):
        require_centered([replace(stored[0], cameras=cameras)])


def test_scores_are_of_unseen_views_and_those_of_our_own_evaluation(stored):
    config = EvaluateConfig(context_views=(1, 3), max_target_views=2)
    truth = Echo(lambda scene, views, targets: scene.image(targets))
    assert scores_of(truth, stored, config, [1], 1).psnr == pytest.approx(100)
    copied = Echo(lambda scene, views, targets: nearest_context_view(scene, views, targets))
    targets = [target_views(scene, config, [1, 3]) for scene in stored]
    assert all(min(chosen) >= 3 for chosen in targets)
    expected = [
        psnr(nearest_context_view(scene, [0], chosen), scene.image(chosen)).mean()
        for scene, chosen in zip(stored, targets, strict=True)
    ]
    assert scores_of(copied, stored, config, [1], 1).psnr == pytest.approx(float(torch.stack(expected).mean()), abs=1e-4)


def test_a_resumed_training_goes_on_where_it_was_and_only_with_the_same_settings(tmp_path):
    plan = Plan(tmp_path, 1e-4, None, 1, 0, {"peer": "echo", "rays": 3})
    first = Echo(None)
    clock, done = train(first, plan, dict)
    assert done and clock.minutes >= plan.minutes and clock.step == len(first.drawn)
    second, looks = Echo(None), []
    longer, _ = train(second, replace(plan, minutes=2 * clock.minutes), lambda: looks.append(0) or {})
    assert second.drawn[0][0] == clock.step and len(looks) == 1 and longer.minutes >= 2 * clock.minutes
    assert second.optimizer.state_dict()["state"][0]["step"] == longer.step
    with pytest.raises(InputError, match="rays"):
        train(Echo(None), replace(plan, identity={"peer": "echo", "rays": 4}), dict)


def test_a_training_by_steps_takes_so_many_however_long_they_take(tmp_path):
    peer, plan = Echo(None), Plan(tmp_path, None, 7, 1, 0, {})
    clock, done = train(peer, plan, dict)
    assert done and clock.step == len(peer.drawn) == 7
    longer, _ = train(Echo(None), replace(plan, steps=9), dict)
    assert longer.step == 9


def test_a_steps_random_numbers_follow_from_its_number(tmp_path):
    def drawn(before: int) -> list[tuple]:
        torch.rand(before)
        peer = Echo(None, lambda step: 1.0 if step < 6 else float("nan"))
        with pytest.raises(InputError):
            train(peer, Plan(tmp_path, 1.0, None, 1, 0, {}), dict)
        return peer.drawn

    first, second = drawn(3), drawn(4)
    assert first == second and len({numbers[1:] for numbers in first}) == 7


def test_a_training_that_diverges_says_so(tmp_path):
    with pytest.raises(InputError, match="learning-rate"):
        train(Echo(None, lambda step: float("nan")), Plan(tmp_path, 1.0, None, 1, 0, {}), dict)


def test_scratch_fits_its_context_views_and_no_others(stored):
    experiment = Experiment(
        field=FieldSpec(width=32, depth=2, position_frequencies=3, plane_resolution=16, volume_resolution=8),
        train=TrainConfig(samples=16),
        evaluate=EvaluateConfig(context_views=(2,)),
        render=RenderSettings(samples=16, grid=24),
    )
    peer = Scratch(ScratchConfig(rays=128), Material([], [], stored[:2], 1.6, 3.6, experiment, None), [2])

    def quality(views: list[int]) -> float:
        return min(psnr(peer.predict(scene, [], views), scene.image(views)).min().item() for scene in stored[:2])

    before = quality([0, 1])
    for step in range(150):
        Moment(0, step, 0.0).seed_global()
        peer.step(Moment(0, step, step / 150))
    assert quality([0, 1]) > max(before + 5, 18)
    assert quality([3, 4]) < quality([0, 1]) - 2


def test_scratch_fits_each_scene_as_if_it_were_alone(stored):
    experiment = Experiment(field=FieldSpec(width=16, depth=1, position_frequencies=2), train=TrainConfig(samples=8))
    peer = Scratch(ScratchConfig(rays=64), Material([], [], stored[:2], 1.6, 3.6, experiment, None), [1])
    peer.colors[1] = peer.background[1]  # nothing to see in the second
    other = Scratch(ScratchConfig(rays=64), Material([], [], stored[:2], 1.6, 3.6, experiment, None), [1])
    for step in range(20):
        for fitted in (peer, other):
            Moment(0, step, 0.0).seed_global()
            fitted.step(Moment(0, step, 0.0))
    ours, theirs = peer.fields.weights().tensors["layer_0"], other.fields.weights().tensors["layer_0"]
    assert torch.allclose(ours[0], theirs[0], atol=1e-6) and not torch.allclose(ours[1], theirs[1], atol=1e-3)


@pytest.mark.parametrize(("build", "parameters"), [(resnet.resnet18, 11_689_512), (resnet.resnet34, 21_797_672)])
def test_the_residual_networks_are_the_published_ones(build, parameters):
    network = build()
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
    assert network.layer3(network.layer2(torch.zeros(1, 64, 32, 32))).shape == (1, 256, 8, 8)


def test_only_what_is_missing_is_stood_in_for():
    stand_in("json"), stand_in("no_such_package"), stand_in("no_such_package.part")
    import no_such_package.part as part  # type: ignore[import-not-found]
    from no_such_package import Thing  # type: ignore[import-not-found]

    assert json.dumps(1) == "1" and isinstance(part, StandIn) and isinstance(Thing(), Thing)


def test_a_folder_that_is_no_clone_has_no_commit(tmp_path):
    assert checked_out_commit(tmp_path / "nothing") is None


@pytest.mark.parametrize("peer", PEERS)
def test_a_learning_rate_that_is_given_is_the_one_a_run_is_known_by(peer, tmp_path):
    """So that a run is never taken up with another one, and a sweep's runs are told apart."""
    (tmp_path / "tiny.yaml").write_text("train: {minutes: 1}")
    command = [peer, str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "run"), "--context-views", "1"]
    plans = [_plan(options, tmp_path, [1]) for options in (_parse(command), _parse([*command, "--learning-rate", "7.25e-4"]))]
    usual, given = (plan.identity.pop("learning_rate") for plan in plans)
    assert given == 7.25e-4 != usual and plans[0] == plans[1]
    with pytest.raises(InputError, match="learning-rate must be positive"):
        _parse([*command, "--learning-rate", "0"])


def test_scratch_learns_at_the_rate_it_is_given(stored):
    experiment = Experiment(field=FieldSpec(width=16, depth=1, position_frequencies=2), train=TrainConfig(samples=4, warmup=0.0))
    material = Material([], [], stored[:1], 1.6, 3.6, experiment, None)
    moved = {}
    for rate in (1e-3, 4e-3):
        peer = Scratch(ScratchConfig(learning_rate=rate, rays=16), material, [1])
        before = peer.fields.tensors["layer_0"].detach().clone()
        Moment(0, 0, 0.5).seed_global()
        peer.step(Moment(0, 0, 0.5))  # half way the cosine is at one half; Adam's first step is the rate, whatever the gradient
        moved[rate] = float((peer.fields.tensors["layer_0"].detach() - before).abs().max())
        assert moved[rate] == pytest.approx(rate / 2, rel=1e-2)

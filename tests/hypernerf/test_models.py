import dataclasses
import itertools

import pytest
import torch

from hypernerf.fields import FieldSpec, FieldWeights
from hypernerf.geometry import camera_rays, project
from hypernerf.models import (
    EncoderConfig,
    Generator,
    GeneratorConfig,
    HypernetworkConfig,
    ImageEncoderConfig,
    LiftConfig,
    RefinementConfig,
    SetEncoderConfig,
)
from hypernerf.models.hypernetwork import Hypernetwork
from hypernerf.models.seen import ball_cells, block_reader, column_readers
from hypernerf.ops import COLORS, colors_seen
from hypernerf.rendering import render_rays
from hypernerf.types import Cameras, ContextViews, InputError, RayBundle
from tests.conftest import orbit

HEADS = ("full", "low_rank", "modulated", "layer_embedding", "token")


def small(head="modulated", kind="mean", lift=0, mirror="none", rays=True, **field) -> GeneratorConfig:
    return GeneratorConfig(
        EncoderConfig(
            ImageEncoderConfig(image_size=16, channels=(8, 16), rays=rays),
            SetEncoderConfig(kind=kind, width=32, queries=4, layers=2, heads=2),
            LiftConfig(lift, 8, mirror=mirror),
        ),
        HypernetworkConfig(latent=24, width=32, rank=2, chunk=64, embedding=16, token_layers=1, head=head),
        FieldSpec(**{"width": 16, "depth": 2, "position_frequencies": 2, **field}),
    )  # fmt: skip


def static(**field) -> GeneratorConfig:
    config = small(head="layer_embedding", **field)
    return dataclasses.replace(config, hypernetwork=dataclasses.replace(config.hypernetwork, conditioned=False))


def refining(**field) -> GeneratorConfig:
    return dataclasses.replace(small(**field), refinement=RefinementConfig(rays=100, samples=8, channels=8))


def views(scenes: int, count: int, size: int = 16) -> ContextViews:
    cameras = orbit(count, size)
    batch = Cameras(cameras.camera_to_world.expand(scenes, -1, 4, 4), cameras.intrinsics.expand(scenes, -1, 4), size, size)
    images = torch.rand(scenes, count, size, size, 3, generator=torch.Generator().manual_seed(0))
    return ContextViews(images, batch, torch.ones(scenes, 3))


def name_of(config: GeneratorConfig) -> str:
    planes, volume = config.field.plane_resolution, config.field.volume_resolution
    lift = config.encoder.lift
    kind = config.hypernetwork.head if config.hypernetwork.conditioned else "static"
    return f"{kind}-{config.encoder.set.kind}-planes{planes}-volume{volume}-mirror_{lift.mirror}-refined{config.refinement.rays}"


VARIANTS = [
    *[small(head=head) for head in HEADS],
    small(kind="attention"),
    small(lift=4, plane_resolution=6, plane_channels=2),
    small(lift=4, volume_resolution=5, plane_resolution=6, plane_channels=2, direction_frequencies=1),
    small(lift=8, volume_resolution=5, plane_resolution=6, plane_channels=2, mirror="y"),
    refining(lift=4, volume_resolution=5, plane_resolution=6, plane_channels=2),
    small(plane_resolution=7, plane_channels=2, rays=False),
    static(plane_resolution=7, plane_channels=2),
]


@pytest.mark.parametrize("config", VARIANTS, ids=name_of)
def test_gradients_reach_every_parameter(config):
    torch.manual_seed(0)
    model = Generator(config)
    with torch.no_grad():  # a base of zeros would hide the grids' gradients from what reads them
        for parameter in model.hypernetwork.base.values():
            parameter += 0.05 * torch.randn_like(parameter)
    context = views(2, 3)
    weights = model(context)
    rays = camera_rays(context.cameras)
    rays = RayBundle(rays.origins.reshape(2, -1, 3), rays.directions.reshape(2, -1, 3))
    output = render_rays(weights, rays, torch.ones(2, 3), samples=8)
    (output.color.square().sum() + output.opacity.sum()).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


@pytest.mark.parametrize("config", VARIANTS, ids=name_of)
def test_the_order_of_views_does_not_matter(config):
    torch.manual_seed(0)
    model = Generator(config).eval()
    context = views(1, 4)
    first = model(context)
    for order in itertools.islice(itertools.permutations(range(4)), 5, 24, 6):
        turned = dataclasses.replace(context, images=context.images[:, list(order)], cameras=context.cameras[:, list(order)])
        other = model(turned)
        for name, value in first.tensors.items():
            change = (other.tensors[name] - value).norm() / value.norm()
            assert change < 1e-5


@pytest.mark.parametrize("config", VARIANTS, ids=name_of)
def test_at_step_0_the_generated_field_renders_as_the_base(config):
    torch.manual_seed(0)
    model = Generator(config)
    context = views(2, 2)
    weights = model(context)
    base = FieldWeights(weights.spec, {n: v[None].expand(2, *v.shape) for n, v in model.hypernetwork.base.items()})
    rays = camera_rays(context.cameras)
    rays = RayBundle(rays.origins.reshape(2, -1, 3), rays.directions.reshape(2, -1, 3))
    first, second = (render_rays(w, rays, torch.ones(2, 3), samples=16) for w in (weights, base))
    assert (first.color - second.color).abs().max() < 0.05
    inside = first.opacity > 0.01
    assert 0.15 < first.opacity[inside].mean() < 0.9  # fog
    changed = [n for n, v in weights.tensors.items() if not torch.equal(v[0], base.tensors[n][0])]
    assert set(changed) == set(base.tensors)


def test_any_number_of_views_gives_one_latent():
    model = Generator(small())
    for count in (1, 2, 5):
        assert model.encode(views(3, count)).latent.shape == (3, 24)


def test_the_hypernetwork_writes_any_small_network():
    torch.manual_seed(0)
    base = {"first": torch.randn(5, 3), "offset": torch.randn(5), "image": torch.randn(2, 8, 8)}
    for head in HEADS:
        config = HypernetworkConfig(latent=8, width=16, rank=2, chunk=7, embedding=8, token_layers=1, head=head)
        written = Hypernetwork(config, base)(torch.randn(4, 8))
        assert {name: tuple(value.shape) for name, value in written.items()} == {n: (4, *v.shape) for n, v in base.items()}


def test_a_static_hypernetwork_writes_one_field_for_all_and_a_seeded_base_is_not_learned():
    torch.manual_seed(0)
    config = static()
    config = dataclasses.replace(config, hypernetwork=dataclasses.replace(config.hypernetwork, learn_base=False))
    model = Generator(config)
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"hypernetwork"}
    first, second = model(views(1, 1)), model(views(2, 3))
    for name, value in first.tensors.items():
        assert torch.allclose(second.tensors[name], value.expand(2, *value.shape[1:]), atol=1e-6)
    sum(value.square().sum() for value in first.tensors.values()).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith("hypernetwork.base."), name
    with pytest.raises(InputError, match="conditioned"):
        Generator(dataclasses.replace(config, encoder=small(lift=4).encoder, field=small(plane_resolution=4).field))


def test_projection_inverts_the_rays_of_pixels():
    cameras = orbit(3, 20)
    rays = camera_rays(cameras)
    for view, row, column in ((0, 3, 7), (1, 19, 0), (2, 10, 10)):
        point = rays.origins[view, row, column] + 1.7 * rays.directions[view, row, column]
        share = project(point[None], cameras)[view, 0]
        assert torch.allclose(share * 20, torch.tensor([column + 0.5, row + 0.5]), atol=1e-3)
    behind = cameras.positions[0] - cameras.camera_to_world[0, :3, 2]
    assert (project(behind[None], cameras)[0, 0].abs() > 1).all()


def test_lifted_features_are_those_of_the_pixels_a_point_is_seen_at():
    torch.manual_seed(0)
    model = Generator(small(lift=4, plane_resolution=4)).eval()
    context = views(1, 2)
    volume = model.encode(context).lifted.learned
    assert volume.shape == (1, 8 + 8, 4, 4, 4)  # mixed and seen
    changed = context.images.clone()
    changed[:, :, 8:] = 0  # the lower half of every image
    other = model.encode(dataclasses.replace(context, images=changed)).lifted.learned
    difference = (other - volume).abs().sum((0, 1, 3, 4))
    assert difference[0] > difference[3]  # low cells are seen in the lower half


def test_what_is_seen_tells_of_colors_and_of_emptiness():
    context = views(1, 3)
    images = torch.ones(1, 3, 16, 16, 3)  # background
    images[:, :2] = torch.tensor([0.5, 0.0, 1.0])  # two views full of one color
    center = torch.zeros(1, 3)  # every view looks there
    seen = colors_seen(dataclasses.replace(context, images=images), center)[0, 0]
    assert torch.allclose(seen[:3], torch.tensor([1 / 3, -1 / 3, 1.0]), atol=1e-4)
    assert torch.allclose(seen[3:6], torch.tensor([2**0.5 / 3, 8**0.5 / 3, 0.0]), atol=2e-3)
    assert seen[6].item() == pytest.approx(-1) and seen[7].item() == 1  # one view sees background behind it
    full = dataclasses.replace(context, images=images[:, :1].expand(-1, 3, -1, -1, -1))
    assert colors_seen(full, center)[0, 0, 6].item() == pytest.approx(0, abs=1e-5)


def dense(seen, size):
    """[scene, place, color] as a volume [scene, color, z, y, x]."""
    volume = torch.zeros(len(seen), seen.shape[-1], size**3)
    volume[:, :, ball_cells(size)] = seen.transpose(1, 2)
    return volume.unflatten(-1, (size,) * 3)


@pytest.mark.parametrize("axis", [None, -1, -2, -3])
def test_readers_of_what_is_seen_are_sums_over_blocks_and_columns(axis):
    torch.manual_seed(0)
    size, channels = 8, 3
    seen = torch.randn(2, len(ball_cells(size)), COLORS)
    volumes = [dense(seen, size)] if axis is None else [dense(seen, size), dense(seen, size).flip(axis)]

    blocks = block_reader(size, 2, channels, axis)
    kernels = list(blocks.weight.unflatten(-1, (2, 2, 2, COLORS)).movedim(-1, 1).split(channels))
    if axis is not None:
        kernels[1] = kernels[1].flip(axis)  # a kernel of its own sees the mirrored volume
    expected = sum(torch.nn.functional.conv3d(v, k, stride=2) for v, k in zip(volumes, kernels, strict=True))
    assert torch.allclose(blocks(seen), expected, atol=1e-4)

    for lost, reader in zip((-3, -2, -1), column_readers(size, channels, axis), strict=True):
        weights = list(reader.weight.unflatten(-1, (size, COLORS)).split(channels))
        if axis == lost:
            weights[1] = weights[1].flip(1)
        columns = [volume.movedim(lost, 1) for volume in volumes]
        expected = sum(torch.einsum("odc,sdcij->soij", w, c) for w, c in zip(weights, columns, strict=True))
        assert torch.allclose(reader(seen), expected, atol=1e-4)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_both_sides_of_the_mirror_tell_of_both(axis):
    torch.manual_seed(0)
    model = Generator(small(lift=8, plane_resolution=4, mirror=axis))
    learned = model.encode(views(1, 2)).lifted.learned
    own, mirrored = learned[:, -2 * COLORS : -COLORS], learned[:, -COLORS:]
    dimension = {"x": -1, "y": -2, "z": -3}[axis]
    assert torch.equal(mirrored, own.flip(dimension)) and not torch.equal(mirrored, own)


def test_without_rays_no_camera_is_read():
    torch.manual_seed(0)
    model = Generator(small(plane_resolution=4, rays=False))
    context = views(2, 3)
    other = dataclasses.replace(context.cameras, camera_to_world=context.cameras.camera_to_world.roll(1, dims=1))
    first, second = (model(dataclasses.replace(context, cameras=cameras)) for cameras in (context.cameras, other))
    assert all(torch.equal(value, second.tensors[name]) for name, value in first.tensors.items())
    with pytest.raises(InputError, match="rays"):
        Generator(small(lift=4, plane_resolution=4, rays=False))


def test_lifting_without_grids_is_refused():
    with pytest.raises(InputError, match=r"encoder\.lift"):
        Generator(small(lift=4))
    with pytest.raises(InputError, match=r"encoder\.lift"):
        Generator(small(volume_resolution=4))


def test_configs_name_what_is_impossible():
    with pytest.raises(InputError, match="image_size"):
        ImageEncoderConfig(image_size=60)
    with pytest.raises(InputError, match="rank"):
        dataclasses.replace(HypernetworkConfig(), rank=0)

"""Fields of many sizes from one hypernetwork."""

import dataclasses
import json
import math
from collections import Counter

import pytest
import torch

from hypernerf.cli.reconstruct import main as reconstruct
from hypernerf.fields import FieldSpec, FieldWeights, initial_weights, load_scene_file, radiance_field
from hypernerf.models import Generator, SizesConfig
from hypernerf.models.sizes import size_name
from hypernerf.ops import encoded_mlp
from hypernerf.ops.backends import pick_backend
from hypernerf.rendering import OccupancyGrid
from hypernerf.training import TrainConfig
from hypernerf.training.batches import BatchConfig
from hypernerf.training.objective import Look, Objective, StepInput
from hypernerf.types import InputError, RayBundle, SceneBatch
from members import main as family
from members.sizes import _best
from tests.conftest import tiny
from tests.hypernerf.test_models import small, views

pytestmark = pytest.mark.usefixtures("_one_thread")
SIZES = SizesConfig((16, 32), (2, 3))


def sized(head="modulated") -> Generator:
    torch.manual_seed(0)
    config = small(head=head, width=64, depth=4, lift=4, plane_resolution=6, plane_channels=2)
    return Generator(dataclasses.replace(config, sizes=SIZES))


def test_the_largest_size_must_be_the_fields_own():
    assert [(s.width, s.depth) for s in SIZES.specs(FieldSpec(width=64, depth=3))] == [
        (16, 2), (32, 2), (64, 2), (16, 3), (32, 3), (64, 3),
    ]  # fmt: skip
    for wrong in (FieldSpec(width=16, depth=3), FieldSpec(width=64, depth=2)):
        with pytest.raises(InputError, match="largest"):
            SIZES.specs(wrong)
    with pytest.raises(InputError, match=r"sizes\.widths"):
        SizesConfig((48,), ())


def test_uncertain_weights_of_several_sizes_are_refused():
    config = small(width=64, depth=4)
    uncertain = dataclasses.replace(config, hypernetwork=dataclasses.replace(config.hypernetwork, factors=2))
    Generator(uncertain)
    with pytest.raises(InputError, match=r"sizes\.widths \[\]"):
        Generator(dataclasses.replace(uncertain, sizes=SIZES))


@pytest.mark.parametrize("head", ["modulated", "low_rank", "layer_embedding"])
def test_at_first_a_smaller_field_is_a_scaled_slice_of_the_largest(head):
    model = sized(head)
    code = model.encode(views(2, 2))
    whole = model.generate(code)
    spec = FieldSpec(**{**dataclasses.asdict(whole.spec), "width": 16, "depth": 2})
    part = model.generate(code, spec)
    assert part.spec == spec
    pairs = {"layer_0": ("layer_0", 1.0), "layer_1": ("layer_1", 2.0), "layer_2": ("layer_4", 2.0), "planes": ("planes", 1.0)}
    for name, (there, gain) in pairs.items():  # 16 inputs in the place of 64: sqrt(64 / 16)
        expected = gain * whole.tensors[there][:, : part.tensors[name].shape[1], : part.tensors[name].shape[2]]
        assert torch.allclose(part.tensors[name], expected, atol=1e-6), name


def test_hidden_values_deviate_alike_at_every_size():
    torch.manual_seed(0)
    largest = FieldSpec(width=128, depth=5, position_frequencies=4)
    model = Generator(
        dataclasses.replace(small(), field=largest, sizes=SizesConfig((16, 32, 64), (2, 3, 4)))
    )  # fmt: skip
    code = model.encode(views(1, 1))
    points = torch.rand(1, 500, 3) * 2 - 1
    spreads = {}
    for spec in model.config.sizes.specs(largest):
        weights = model.generate(code, spec)
        trunk = [weights.tensors[name] for name in spec.layer_names[:-1]]
        spreads[spec.width, spec.depth] = encoded_mlp(points, 4, None, None, trunk).square().mean().sqrt().item()
        density = radiance_field(points, None, weights).density
        assert 0.1 < density.mean() < 3  # fog, as the largest is
    most, least = max(spreads.values()), min(spreads.values())
    assert most < 3 * least, spreads  # without the gain it is 2.8 a layer at width 16


def test_a_step_teaches_what_is_shared_and_the_size_it_drew():
    model = sized()
    spec = model.config.sizes.specs(model.config.field)[1]
    weights = model(views(2, 1), spec)
    sum(value.square().sum() for value in weights.tensors.values()).backward()
    own = {name for name, p in model.hypernetwork.slices.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert own == {"embeddings.32x2", *(f"bases.32x2.{name}" for name in ("layer_0", "layer_1", "layer_4"))}
    base = model.hypernetwork.base
    assert base["planes"].grad.abs().sum() > 0 and all(base[f"layer_{n}"].grad is None for n in range(5))
    assert model.hypernetwork.head.write["layer_1"].weight.grad.abs().sum() > 0


def test_every_size_has_every_place_and_one_alone_draws_nothing():
    random, field = torch.Generator().manual_seed(0), FieldSpec(width=64, depth=4)
    orders = [SIZES.shuffled(field, random) for _ in range(200)]
    assert all(sorted(map(size_name, order)) == sorted(map(size_name, SIZES.specs(field))) for order in orders)
    for place in range(9):
        assert min(Counter(size_name(order[place]) for order in orders).values()) > 5  # of 22 on average
    before = random.get_state()
    assert SizesConfig().shuffled(field, random) == [field] and torch.equal(before, random.get_state())


def test_more_sizes_than_rays_are_refused():
    with pytest.raises(InputError, match=r"at least 9"):
        Objective(sized(), TrainConfig(batch=BatchConfig(rays=8)))


def test_a_step_of_several_sizes_shares_rays_and_points_among_them():
    model = sized()
    specs = model.config.sizes.specs(model.config.field)
    random = torch.Generator().manual_seed(1)
    rand = lambda *shape: torch.rand(*shape, generator=random)
    rays = RayBundle(rand(2, 8, 3) - 2, torch.nn.functional.normalize(rand(2, 8, 3) + 0.5, dim=-1))
    inside = (rand(2, 12) > 0.5).float()
    batch = SceneBatch(views(2, 2), rays, rand(2, 8, 3), rand(2, 8) + 0.5, rand(2, 8), rand(2, 12, 3) - 0.5, inside)
    look, everywhere = Look(rand(20, 3) - 0.5, (0, 1)), OccupancyGrid(torch.ones(1, 2, 2, 2).bool())
    step = StepInput(batch, (specs[8], specs[0], specs[4], specs[1]), rand(2, 8, 6), everywhere, 0.1, False, 0, look)
    objective = Objective(model, TrainConfig(samples=6, backend="torch"))
    together, expected, asked = objective(step), Counter(), 0
    for place, spec in enumerate(step.specs):
        mine = slice(place, None, 4)
        targets = [part[:, mine] for part in (batch.target_colors, batch.target_importance, batch.target_masks)]
        part = SceneBatch(batch.context, rays[:, mine], *targets, batch.hull_points[:, mine], batch.hull_inside[:, mine])
        alone = objective(dataclasses.replace(step, batch=part, specs=(spec,), jitter=step.jitter[:, mine]))
        expected.update({name: loss.item() / 4 for name, loss in alone.losses.items()})
        asked += part.target_colors.shape[1]
        if spec == specs[-1]:
            assert torch.allclose(together.seen, alone.seen, rtol=1e-5)
    assert asked == 8 and set(expected) == {"total", "color", "hull"}
    for name, loss in together.losses.items():
        assert loss.item() == pytest.approx(expected[name], rel=1e-5), name


def test_sizes_written_together_are_those_written_alone_and_share_their_planes():
    model = sized()
    code = model.encode(views(2, 2))
    specs = model.config.sizes.specs(model.config.field)
    together = model.drafts(code, specs)
    for spec, draft in zip(specs, together, strict=True):
        alone = model.generate(code, spec).tensors
        assert draft.weights.spec == spec and list(draft.weights.tensors) == list(alone)
        assert all(torch.equal(value, alone[name]) for name, value in draft.weights.tensors.items())
    assert all(draft.weights.tensors["planes"] is together[0].weights.tensors["planes"] for draft in together)


@pytest.mark.skipif(pick_backend("auto", torch.device("cpu")).__name__.endswith("_torch"), reason="no compiler")
@pytest.mark.parametrize("width", [16, 32, 64, 128])
def test_the_cpu_backend_serves_every_size(width):
    for depth in (2, 3, 4, 5):
        spec = FieldSpec(width=width, depth=depth, position_frequencies=4, plane_resolution=5, volume_resolution=4)
        random = torch.Generator().manual_seed(depth)
        values = {
            n: v.expand(2, *v.shape) + 0.1 * torch.randn(2, *v.shape, generator=random) for n, v in initial_weights(spec).items()
        }
        points = torch.rand(2, 70, 3, generator=random) * 2 - 1
        found = {}
        for backend in ("cpu", "torch"):
            tensors = {name: value.clone().requires_grad_() for name, value in values.items()}
            output = radiance_field(points, None, FieldWeights(spec, tensors), backend)
            (output.density.sum() + output.color.square().sum()).backward()
            found[backend] = [output.density, output.color, *(t.grad for t in tensors.values())]
        for mine, reference in zip(found["cpu"], found["torch"], strict=True):
            assert (mine - reference).norm() < 1e-4 * reference.norm()


def test_a_run_writes_the_size_that_is_asked_for(sized_run, tmp_path):
    for width, depth in ((16, 2), (32, 2), (32, 3)):
        path = tmp_path / f"{width}.field.safetensors"
        arguments = [str(sized_run), "--scene", "test-chairs-00001", "--views", "0", "-o", str(path)]
        reconstruct([*arguments, "--field.width", str(width), "--field.depth", str(depth)])
        assert (load_scene_file(path).weights.spec.width, load_scene_file(path).weights.spec.depth) == (width, depth)
    with pytest.raises(InputError, match="16x2, 32x2, 16x3, 32x3"):
        reconstruct([*arguments, "--field.width", "64"])


def test_the_search_finds_the_best_size_within_a_budget(sized_run, tmp_path):
    spec = FieldSpec(**{**dataclasses.asdict(tiny().field), "width": 16, "depth": 3})
    budget = 2 * sum(math.prod(shape) for shape in spec.param_shapes.values()) + 1200
    family(
        [
            "sizes",
            str(sized_run),
            "--search-bytes",
            str(budget),
            "--json",
            str(tmp_path / "s.json"),
            "-o",
            str(tmp_path / "s.png"),
        ]
    )
    found = json.loads((tmp_path / "s.json").read_text())
    rows = {row["size"]: row for row in found["rows"]}
    assert set(rows) == {"16x2", "16x3", "32x2", "32x3"} and rows["32x3"]["bytes"] > budget
    fitting = [row for row in found["rows"] if row["bytes"] <= budget]
    assert 0 < len(fitting) < 4 and found["best"] in {row["size"] for row in fitting}
    assert (tmp_path / "s.png").stat().st_size > 1000
    with pytest.raises(InputError, match="no size is within 100 bytes"):
        _best(sized_run, {}, found["rows"], "bytes", 100, 1)

import torch

from hypernerf.fields import FieldSpec, FieldWeights, initial_weights, radiance_field
from hypernerf.ops import sample_volume


def test_the_volume_is_added_before_the_activations():
    """With a network that says nothing, density and color are the volume's own."""
    spec = FieldSpec(width=16, depth=1, position_frequencies=0, volume_resolution=3)
    tensors = {name: torch.zeros(1, *shape) for name, shape in spec.param_shapes.items()}
    tensors["volume"] = torch.randn(tensors["volume"].shape, generator=torch.Generator().manual_seed(0))
    points = torch.rand(1, 9, 3) * 2 - 1
    output = radiance_field(points, None, FieldWeights(spec, tensors))
    coarse = sample_volume(tensors["volume"], points)
    assert torch.allclose(output.density, 10 * torch.nn.functional.softplus(coarse[..., 0] - 3))
    assert torch.allclose(output.color, torch.sigmoid(coarse[..., 1:4]))


def test_the_volume_serves_fields_that_see_directions_too():
    spec = FieldSpec(width=16, depth=1, direction_frequencies=1, volume_resolution=3)
    tensors = {name: value[None] for name, value in initial_weights(spec).items()}
    brighter = {**tensors, "volume": tensors["volume"] + 1}
    points = torch.rand(1, 9, 3)
    dim, bright = (radiance_field(points, points, FieldWeights(spec, t)) for t in (tensors, brighter))
    assert (bright.color > dim.color).all() or (bright.density > dim.density).any()

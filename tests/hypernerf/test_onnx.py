import json

import pytest
import torch

from hypernerf.export.onnx_field import onnx_difference, save_onnx
from hypernerf.fields import FieldSpec, FieldWeights, SceneField, initial_weights
from hypernerf.types import SceneTransform

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
GRIDS = {"plane_resolution": 5, "plane_channels": 2, "volume_resolution": 4, "volume_channels": 5}


@pytest.mark.parametrize(
    "options", [{}, {"depth": 1, "position_frequencies": 0}, GRIDS, {**GRIDS, "direction_frequencies": 2}], ids=str
)
def test_onnxruntime_agrees_with_the_field(tmp_path, options):
    spec = FieldSpec(**{"width": 16, "depth": 2, "position_frequencies": 3, **options})
    generator = torch.Generator().manual_seed(1)
    weights = {n: v[None] + 0.3 * torch.randn(v.shape, generator=generator) for n, v in initial_weights(spec, generator).items()}
    scene = SceneField("s", FieldWeights(spec, weights), SceneTransform((1.0, 2.0, 3.0), 2.0))
    path = tmp_path / "s.onnx"
    save_onnx(path, scene)
    assert max(onnx_difference(path, scene)) < 1e-4
    facts = json.loads({p.key: p.value for p in onnx.load(path).metadata_props}["hypernerf"])
    assert facts["transform"] == {"center": [1.0, 2.0, 3.0], "radius": 2.0}
    changed = {**weights, "layer_0": weights["layer_0"] + 0.1}
    assert max(onnx_difference(path, SceneField("t", FieldWeights(spec, changed)))) > 1e-3

"""Files that run code when they are read as what they are: a reader of ours must not run it. And files that claim too much."""

import io
import json
import math
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save, save_file

from hypernerf.cli.session import load_run
from hypernerf.config import dump_yaml, load_yaml, to_dict
from hypernerf.fields import load_scene_file, save_scene_file
from hypernerf.models import Generator
from hypernerf.tensor_files import read_tensors
from hypernerf.training import Experiment
from hypernerf.training.checkpoint import load_checkpoint, load_state, save_checkpoint
from hypernerf.types import InputError
from scenes.cache import cached_pixels
from scenes.camera_path import read_camera_path
from scenes.images import read_image
from scenes.mesh_file import load_mesh
from scenes.srn import load_srn_scene


class Payload:
    """Makes a folder in the working directory when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("pwned",)


def _torch(new_format):
    buffer = io.BytesIO()
    torch.save({"optimizer": Payload()}, buffer, _use_new_zipfile_serialization=new_format)
    return buffer.getvalue()


def _numpy(save_array):
    buffer = io.BytesIO()
    save_array(buffer, np.array([Payload()], dtype=object))
    return buffer.getvalue()


MALICIOUS = {  # contents, and what would run it
    "pickle": (pickle.dumps(Payload()), pickle.loads),
    "old pickle": (pickle.dumps(Payload(), 0), pickle.loads),
    "torch": (_torch(True), lambda data: torch.load(io.BytesIO(data), weights_only=False)),
    "old torch": (_torch(False), lambda data: torch.load(io.BytesIO(data), weights_only=False)),
    "npy": (_numpy(np.save), lambda data: np.load(io.BytesIO(data), allow_pickle=True)),
    "npz": (_numpy(np.savez), lambda data: np.load(io.BytesIO(data), allow_pickle=True)["arr_0"]),
    "yaml": (b"source: !!python/object/apply:os.mkdir ['pwned']\n", lambda data: yaml.load(data, yaml.UnsafeLoader)),
}
READERS = {
    "checkpoints/step_00000001.safetensors": lambda path: load_checkpoint(path.parent.parent),
    "checkpoints/state_00000001.pt": lambda path: load_state(path.parent.parent, 1),
    "x.field.safetensors": load_scene_file,
    "config.yaml": load_yaml,
    "run/config.yaml": lambda path: load_run(path.parent),
    "x.npy": lambda path: cached_pixels(path, (1, 8, 8, 4)),
    "x.npz": lambda path: cached_pixels(path, (1, 8, 8, 4)),
    "x.png": lambda path: read_image(path, (1.0, 1.0, 1.0)),
    "path.json": read_camera_path,
    "x.glb": load_mesh,
    "rgb/0.png": lambda path: load_srn_scene(path.parent.parent, (1.0, 1.0, 1.0)),
}


@pytest.mark.parametrize("kind", MALICIOUS)
def test_no_reader_runs_what_a_file_tells_it_to_run(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    data, run = MALICIOUS[kind]
    run(data)
    assert Path("pwned").is_dir()  # so it would be seen
    Path("pwned").rmdir()
    for name, read in READERS.items():
        path = tmp_path / kind / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        try:
            assert read(path) is None and name in ("x.npy", "x.npz")  # the cache's are drawn anew
        except InputError as error:
            assert str(tmp_path) in str(error)
        assert not Path("pwned").exists(), name


def _refused_state(tmp_path, state, message):
    torch.save(state, tmp_path / "checkpoints" / "state_00000001.pt")
    with pytest.raises(InputError, match=rf"state_00000001\.pt: cannot be read.*{message}"):
        load_state(tmp_path, 1)


def test_a_state_holds_what_its_file_has(tmp_path):
    good = {"a": [torch.ones(3), None, (1, 2.5, "x", True)], "view": torch.arange(12).reshape(3, 4)[:, 1:3]}
    save_checkpoint(tmp_path, 1, {"x": torch.zeros(1)}, good)
    read = load_state(tmp_path, 1)
    assert torch.equal(read["view"], good["view"]) and read["a"][2] == good["a"][2]
    _refused_state(tmp_path, {"x": torch.ones(1).expand(10**12)}, "repeats")
    _refused_state(tmp_path, {"x": torch.empty(10**12, device="meta")}, "not dense")
    _refused_state(tmp_path, {"x": torch.ones(2).to_sparse()}, "not dense")
    _refused_state(tmp_path, [torch.ones(2)], "not a dict")
    _refused_state(tmp_path, {"x": {1, 2}}, "holds a set")
    deep: dict = {}
    for _ in range(40):
        deep = {"x": deep}
    _refused_state(tmp_path, deep, "too deeply")
    wide = ["x"] * 10
    for _ in range(9):
        wide = [wide] * 10  # ten lists, ten thousand million values
    _refused_state(tmp_path, {"x": wide}, "too many values")


def test_a_packed_state_is_not_unpacked(tmp_path):
    save_checkpoint(tmp_path, 1, {"x": torch.zeros(1)}, {"x": torch.zeros(1000)})
    path = tmp_path / "checkpoints" / "state_00000001.pt"
    with zipfile.ZipFile(path) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    with pytest.raises(InputError, match="packed"):
        load_state(tmp_path, 1)


def _holes(path, header):
    """A file of a terabyte that costs nothing, with a good header."""
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + (1 << 40))


def test_weights_that_no_machine_holds_are_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "step_00000001.safetensors"
    _holes(path, {"x": {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}})
    with pytest.raises(InputError, match="more than the"):
        load_checkpoint(tmp_path)
    with pytest.raises(InputError, match="more than the"):
        load_scene_file(path)
    path.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(InputError, match="header would have"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("value", [torch.tensor([v]) for v in (math.nan, math.inf, 1, True)])
def test_weights_are_finite_numbers(tmp_path, value):
    (tmp_path / "checkpoints").mkdir()
    save_file({"generator.x": value}, tmp_path / "checkpoints" / "step_00000001.safetensors")
    with pytest.raises(InputError, match=r"generator\.x holds"):
        load_checkpoint(tmp_path)


def _changed(scene_field, path, **facts):
    save_scene_file(path, scene_field)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["hypernerf"]) | facts
    tensors = {name: value[0].half().contiguous() for name, value in scene_field.weights.tensors.items()}
    path.write_bytes(save(tensors, {"hypernerf": json.dumps(metadata)}))


@pytest.mark.parametrize(
    "facts",
    [
        {"version": 10**18}, {"version": [[]]}, {"spec": {"width": 128, "depth": 10**9}}, {"spec": {"plane_resolution": 256}},
        {"spec": 3}, {"transform": {"center": [0, 0, math.nan], "radius": 1}}, {"transform": {"radius": 0}}, {"weights": {}},
        {"background": [0, 0]}, {"background": [2, 0, 0]}, {"up": [0, 0, 0]}, {"camera_distance": 1e400}, {"name": 3},
        {"field_of_view_degrees": 180},
    ],
)  # fmt: skip
def test_a_scene_file_that_lies_is_named(tmp_path, scene_field, facts):
    path = tmp_path / "x.field.safetensors"
    _changed(scene_field, path)
    assert load_scene_file(path).name == scene_field.name
    _changed(scene_field, path, **facts)
    with pytest.raises(InputError, match=r"x\.field\.safetensors"):
        load_scene_file(path)


def test_a_configuration_does_not_make_a_model_larger_than_the_checkpoint(tmp_path):
    save_checkpoint(tmp_path, 1, {"generator.x": torch.zeros(10)}, {})
    values = to_dict(Experiment())
    values["hypernetwork"] |= {"latent": 8192, "width": 8192, "layers": 64}  # 4 GB a dozen times over
    (tmp_path / "config.yaml").write_text(dump_yaml(values))
    made = []
    hook = torch.nn.modules.module.register_module_parameter_registration_hook(lambda m, n, p: made.append(p.numel()))
    with pytest.raises(InputError, match=r"does not fit config\.yaml.*more than the 10 parameters"):
        load_run(tmp_path)
    hook.remove()
    assert sum(made) < 10**7
    assert sum(p.numel() for p in Generator(Experiment().generator).parameters()) > 10  # others may build what they want again


def test_a_shape_that_overflows_is_refused(tmp_path):
    header = json.dumps({"x": {"dtype": "F16", "shape": [0, 2**40, 2**40], "data_offsets": [0, 0]}}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(InputError, match=r"x\.safetensors: x has a shape"):
        read_tensors(path)

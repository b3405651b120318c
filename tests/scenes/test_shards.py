"""Packed scenes: written and read by us and by the webdataset package; what is not as it was packed is refused."""

import io
import json
import os
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from hypernerf.cli import pack_scenes
from hypernerf.training import store_scene
from hypernerf.training.hull import SIZE, pack_hull, visual_hull
from hypernerf.types import InputError
from scenes.packed_index import read_index
from scenes.procedural import ProceduralConfig, ProceduralSource
from scenes.sharded import ShardedConfig, ShardedSource
from scenes.shards import HULL, PackedScene, read_shard, scene_members, write_shard
from scenes.source import SPLITS, SceneError, open_source
from scenes.writing import write_scene

pytestmark = pytest.mark.usefixtures("_one_thread")
SETTINGS = {"size": 16, "views": 5, "train_scenes": 7, "val_scenes": 1, "test_scenes": 2}
SOURCE = ProceduralSource(ProceduralConfig(**SETTINGS))


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    (folder / "config.yaml").write_text(f"source: {json.dumps({'name': 'procedural', **SETTINGS})}")
    pack_scenes.main([str(folder / "config.yaml"), str(folder / "out"), "--shard-scenes", "3", "--workers", "1"])
    return folder / "out"


@pytest.fixture(scope="module")
def scenes():
    """Two scenes, with masks and hull and without."""
    first, second = (PackedScene.of(SOURCE.load(name), name) for name in SOURCE.scene_ids("train")[:2])
    return [replace(first, hull=pack_hull(visual_hull(first.masks, first.cameras))), replace(second, key="a/b-c_d", masks=None)]


def same(a, b):
    assert (a.key, a.cameras.height, a.cameras.width) == (b.key, b.cameras.height, b.cameras.width)
    for one, other in (
        (a.images, b.images), (a.masks, b.masks), (a.hull, b.hull), (a.background, b.background),
        (a.cameras.intrinsics, b.cameras.intrinsics), (a.cameras.camera_to_world, b.cameras.camera_to_world),
    ):  # fmt: skip
        assert (one is None and other is None) or (one.dtype == other.dtype and torch.equal(one, other))


def test_what_is_packed_comes_back_to_the_bit(packed):
    source = open_source(ShardedConfig(name="sharded", root=str(packed)))
    for split in SPLITS:
        names = source.scene_ids(split)
        assert sorted(names) == sorted(SOURCE.scene_ids(split))
        whole = [scene for number in range(len(source.index.splits[split])) for scene in source.read(split, number)]
        assert [scene.key for scene in whole] == names
        for name, scene in zip(names, whole, strict=True):
            same(scene, replace(PackedScene.of(SOURCE.load(name), name), hull=scene.hull))
            assert torch.equal(scene.hull, pack_hull(visual_hull(scene.masks, scene.cameras)))
            loaded, stored = store_scene(source.load(name)), store_scene(SOURCE.load(name))
            assert torch.equal(loaded.images, stored.images) and torch.equal(loaded.masks, stored.masks)
    assert source.scene_ids("train") != SOURCE.scene_ids("train")  # shuffled
    assert [shard.scenes for shard in source.index.splits["train"]] == [3, 3, 1]
    assert (source.index.radius, source.index.center, source.index.up) == (1.0, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0))


def test_a_hull_has_the_rows_that_a_shard_keeps():
    assert HULL[0] * HULL[1] * 8 == SIZE**3


def test_webdataset_reads_our_shards(packed):
    source = ShardedSource(ShardedConfig(name="sharded", root=str(packed)))
    urls = [str(packed / shard.file) for shard in source.index.splits["train"]]
    read = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgba8"))
    assert [sample["__key__"] for sample in read] == source.scene_ids("train")
    for sample in read:
        views, facts = SOURCE.load(sample["__key__"]), sample["json"]
        pixels = np.asarray(sample["png"]).reshape(5, 16, 16, 4)
        expected = torch.cat([views.images, views.masks[..., None]], dim=-1).mul(255).round().to(torch.uint8)
        assert np.array_equal(pixels, expected.numpy())
        assert torch.equal(torch.tensor(facts["camera_to_world"]), views.cameras.camera_to_world)
        assert torch.equal(torch.tensor(facts["intrinsics"]), views.cameras.intrinsics)


@pytest.mark.parametrize("format", ["USTAR_FORMAT", "PAX_FORMAT"])
def test_we_read_shards_that_webdataset_writes(tmp_path, scenes, format):
    with webdataset.TarWriter(str(tmp_path / "x.tar"), format=format) as writer:
        for scene in scenes:
            members = {name.partition(".")[2]: data for name, data in scene_members(scene)}
            decoded = {kind: Image.open(io.BytesIO(data)) for kind, data in members.items() if kind.endswith("png")}
            writer.write({"__key__": scene.key, **decoded, "json": json.loads(members["json"]), "txt": "a chair"})
    for ours, theirs in zip(scenes, read_shard(tmp_path / "x.tar"), strict=True):
        same(ours, theirs)


def test_tarfile_reads_our_headers(tmp_path, scenes):
    shard = write_shard(tmp_path / "x.tar", map(scene_members, scenes))
    assert (shard.scenes, shard.bytes) == (2, (tmp_path / "x.tar").stat().st_size)
    with tarfile.open(tmp_path / "x.tar") as tar:
        found = [(member.name, tar.extractfile(member).read()) for member in tar if member.isreg()]
    assert found == [member for scene in scenes for member in scene_members(scene)]


def rewritten(path, change):
    """The tar file with the members that `change` makes of each (TarInfo, contents)."""
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for member, data in members:
            for info, contents in change(member, data):
                info.size = len(contents) if info.isreg() else 0
                tar.addfile(info, io.BytesIO(contents) if info.isreg() else None)


def named(name):
    return lambda member, data: [(tarfile.TarInfo(name), data)]


def linked(kind):
    def change(member, data):
        link = tarfile.TarInfo(member.name)
        link.type, link.linkname = kind, "/etc/passwd"
        return [(link, data)]

    return change


def edited(**values):
    def change(member, data):
        if member.name.endswith("json"):
            data = json.dumps({**json.loads(data), **values}).encode()
        return [(member, data)]

    return change


def imaged(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return lambda member, data: [(member, buffer.getvalue() if member.name.endswith(".png") else data)]


HOSTILE = {
    "leaves the folder": (named("../../x.json"), "cannot be the name"),
    "absolute": (named("/etc/x.json"), "cannot be the name"),
    "a symbolic link": (linked(tarfile.SYMTYPE), "not a regular file"),
    "a hard link": (linked(tarfile.LNKTYPE), "not a regular file"),
    "a device": (linked(tarfile.CHRTYPE), "not a regular file"),
    "a long name": (named("x" * 300 + ".json"), "extended header"),
    "twice the same": (lambda member, data: [(member, data)] * 2, "two members"),
    "no image": (lambda member, data: [(member, data)] if member.name.endswith("json") else [], "no such member"),
    "a huge image claimed": (edited(height=16384, width=16384), "not 16384x81920"),
    "absurd sides": (edited(height=10**9), "whole numbers"),
    "NaN poses": (edited(camera_to_world=[[[float("nan")] * 4] * 4] * 5), "not finite and rigid"),
    "other shapes": (edited(intrinsics=[[1, 2, 3]]), "expected intrinsics"),
    "no numbers": (edited(background=["a", {}, None]), "cannot be read"),
    "another image": (imaged(Image.new("RGB", (16, 16))), "not 16x80"),
    "palette": (imaged(Image.new("P", (16, 80))), "not 16x80 RGB"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_shards_are_refused(tmp_path, scenes, kind):
    change, said = HOSTILE[kind]
    path = tmp_path / "x.tar"
    write_shard(path, map(scene_members, scenes))
    rewritten(path, change)
    with pytest.raises(SceneError, match=said) as caught:
        read_shard(path)
    assert "x.tar" in str(caught.value)


def test_damage_and_lies_are_found_out(tmp_path, packed, scenes):
    path = tmp_path / "x.tar"
    shard = write_shard(path, map(scene_members, scenes))
    data = path.read_bytes()
    with pytest.raises(SceneError, match=r"2 scenes, index.json says 3"):
        read_shard(path, replace(shard, scenes=3))
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(SceneError, match="digest differs"):
        read_shard(path, shard)
    path.write_bytes(data + bytes(512))
    with pytest.raises(SceneError, match="more than the"):
        read_shard(path, shard)
    path.write_bytes(data[:1024])
    with pytest.raises(SceneError, match="cut off"):
        read_shard(path)
    path.write_bytes(data[:-1024] + b"garbage" * 100)
    with pytest.raises(SceneError, match="no tar file"):
        read_shard(path)


def test_the_collection_must_be_as_it_was_packed(tmp_path, packed):
    for path in packed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config, text = ShardedConfig(name="sharded", root=str(tmp_path)), (tmp_path / "index.json").read_text()
    (tmp_path / "elsewhere.tar").write_bytes((tmp_path / "val-000000.tar").read_bytes())
    (tmp_path / "val-000000.tar").unlink()
    os.symlink(packed / "val-000000.tar", tmp_path / "val-000000.tar")
    with pytest.raises(InputError, match="leaves the folder"):
        open_source(config).scene_ids("val")
    assert open_source(replace(config, follow_links=True)).scene_ids("val")
    (tmp_path / "index.json").write_text(text.replace('"height": 16', '"height": 17'))
    with pytest.raises(SceneError, match="has images of"):
        open_source(config).read("train", 0)
    for change in (
        ("train-000000.tar", "../x.tar"), ('"scenes": 3', '"scenes": 0'), ('"radius": 1.0', '"radius": -1'),
        ('"version": 1', '"version": 2'), ('"radius": 1.0', '"radius": NaN'), ('"height": 16', '"height": "16"'),
        ('"splits"', '"parts"'),
    ):  # fmt: skip
        assert change[0] in text
        (tmp_path / "index.json").write_text(text.replace(*change))
        with pytest.raises(InputError, match="no index of packed scenes"):
            read_index(tmp_path)


def test_settings_that_packing_settled_are_refused(packed):
    with pytest.raises(InputError, match=r"source.image_size: packed"):
        ShardedConfig(root=str(packed), image_size=8)
    with pytest.raises(InputError, match=r"source.background 1 1 1"):
        open_source(ShardedConfig(name="sharded", root=str(packed), background=(0.0, 0.0, 0.0)))
    with pytest.raises(InputError, match=r"source.buffer"):
        ShardedConfig(root=str(packed), buffer=0)
    with pytest.raises(InputError, match="pack_scenes"):
        open_source(ShardedConfig(name="sharded", root=str(packed / "none")))


def test_a_bad_scene_is_skipped_and_named_by_the_command(tmp_path, capsys):
    cameras = SOURCE.load("train-chairs-00000").cameras
    for split, count in (("train", 3), ("test", 1)):
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 255, (5, 16, 16, 4), dtype=np.uint8)
            write_scene(tmp_path / f"x_{split}" / f"scene.{number}", "srn", pixels, cameras)
    (tmp_path / "x_train" / "scene.1" / "rgb" / "000002.png").write_bytes(b"no image")
    (tmp_path / "config.yaml").write_text(f"source: {{name: srn, root: {tmp_path / 'x'}, val_share: 0.01}}")
    pack_scenes.main([str(tmp_path / "config.yaml"), str(tmp_path / "out")])
    output = capsys.readouterr().out
    assert "skipped" in output and "000002.png" in output
    source = ShardedSource(ShardedConfig(name="sharded", root=str(tmp_path / "out")))
    assert sum(len(source.scene_ids(split)) for split in SPLITS) == 3
    assert all(name.split("/")[1].startswith("scene_") for split in SPLITS for name in source.scene_ids(split))
    with pytest.raises(InputError, match="choose another OUT"):
        pack_scenes.main([str(tmp_path / "config.yaml"), str(tmp_path / "out")])


def test_scenes_that_move_are_not_packed(tmp_path):
    source = {"name": "procedural", "moving": True, "categories": ["cars"], **SETTINGS}
    (tmp_path / "config.yaml").write_text(f"source: {json.dumps(source)}")
    with pytest.raises(InputError, match="scenes that move cannot be packed"):
        pack_scenes.main([str(tmp_path / "config.yaml"), str(tmp_path / "out"), "--workers", "1"])

"""What a stream gives at a step depends on nothing but the seed and the step; a run on it goes on to the bit."""

import json
import threading
import weakref
from dataclasses import replace

import pytest
import torch

from hypernerf.cli import fit, pack_scenes, reconstruct
from hypernerf.cli.common import parse_config
from hypernerf.cli.streamed import open_stream
from hypernerf.cli.taking_up import Settings
from hypernerf.config import load_yaml
from hypernerf.training import Trainer
from hypernerf.training.batches import BatchConfig
from hypernerf.training.checkpoint import load_for_resuming
from hypernerf.training.store import normalized, store_scene, with_hulls
from hypernerf.training.streaming import SceneStream, Window
from hypernerf.types import InputError, SceneTransform
from scenes.procedural import ProceduralConfig, ProceduralSource
from scenes.sharded import ShardedConfig, ShardedSource
from tests.conftest import tiny

pytestmark = pytest.mark.usefixtures("_one_thread")
WINDOW = Window(shards=7, shard_scenes=4, buffer=10, repeat=3, batch=2, seed=5)  # 3 shards held, one further every 6 steps
SETTINGS = {"size": 16, "views": 5, "train_scenes": 14, "val_scenes": 1, "test_scenes": 1}


def numbers(window, read=None):
    """A stream whose scenes are (shard, number in it)."""
    return SceneStream(window, read or (lambda shard: [(shard, i) for i in range(window.shard_scenes)]), [], 28, "x")


def shards_at(stream, step):
    scenes = stream.at(step)
    assert [i for _, i in scenes] == list(range(4)) * (len(scenes) // 4)
    return [shard for shard, _ in scenes[::4]]


def test_the_window_slides_over_one_permutation_after_another():
    stream = numbers(WINDOW)
    windows = [shards_at(stream, step) for step in range(6 * 14)]
    sequence = [window[0] for window in windows[::6]]
    assert [len(window) for window in windows[:4]] == [1, 2, 3, 3]  # the first batch does not wait for three
    windows = [sequence[:3]] * 2 + windows[2:]
    assert all(window == windows[step // 6 * 6] for step, window in enumerate(windows))
    assert sorted(sequence[:7]) == sorted(sequence[7:]) == list(range(7)) and sequence[:7] != sequence[7:]
    assert all(windows[6 * place] == sequence[place : place + 3] for place in range(12))
    other = numbers(replace(WINDOW, seed=6))
    assert [shards_at(other, 6 * place)[0] for place in range(7)] != sequence[:7]
    stream.close()
    other.close()


def test_a_step_is_the_same_from_wherever_it_is_reached():
    straight = numbers(WINDOW)
    expected = {step: shards_at(straight, step) for step in range(60)}
    for order in ([59], [31, 7, 59, 0], list(range(40, 60))):
        stream = numbers(WINDOW)
        assert all(shards_at(stream, step) == expected[step] for step in order)
        stream.close()
    straight.close()


def test_few_shards_are_read_and_each_once_a_pass():
    read = []

    def reading(shard):
        read.append(shard)
        return [(shard, i) for i in range(4)]

    stream = numbers(WINDOW, reading)
    for step in range(42):
        stream.at(step)
        assert len(stream._held) <= WINDOW.length + 1
    assert len(read) <= 7 + 3  # those of an epoch, and those that the window and the reader are ahead
    stream.close()


def test_a_collection_that_fits_is_held_whole_in_its_own_order():
    window = replace(WINDOW, buffer=28)
    stream = numbers(window)
    assert shards_at(stream, 0) == shards_at(stream, 1000) == list(range(7)) and window.length == 7
    stream.close()


def test_on_average_a_scene_is_drawn_repeat_times():
    """While a shard is there, of the scenes drawn a share of 1 / length is its own."""
    steps = 6 * 100
    passes = WINDOW.position(steps) / WINDOW.shards
    assert steps * WINDOW.batch / (passes * WINDOW.shards * WINDOW.shard_scenes) == WINDOW.repeat


def test_what_goes_wrong_in_the_thread_is_said_here():
    main = threading.current_thread()

    def broken(shard):
        assert threading.current_thread() is not main
        raise InputError("x.tar: damaged")

    stream = numbers(WINDOW, broken)
    for _ in range(2):
        with pytest.raises(InputError, match=r"x.tar: damaged"):
            stream.at(0)
    stream.close()


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    (folder / "config.yaml").write_text(f"source: {json.dumps({'name': 'procedural', **SETTINGS})}")
    pack_scenes.main([str(folder / "config.yaml"), str(folder / "out"), "--shard-scenes", "2", "--workers", "1"])
    return folder / "out"


def settings(packed, **train):
    experiment = tiny(batch=BatchConfig(scenes=2, rays=16), **train)
    return Settings(ShardedConfig(name="sharded", root=str(packed), buffer=6, repeat=1), experiment)


def test_a_stopped_run_goes_on_to_the_bit(packed, tmp_path):
    def train(run, steps, resume=False):
        stream, _ = open_stream(settings(packed))
        trainer = Trainer(settings(packed).experiment, stream, run)
        if resume:
            trainer.resume(load_for_resuming(run, print))
        while trainer.step < steps:
            trainer._timed_step()
        trainer.save()
        stream.close()
        return trainer

    straight = train(tmp_path / "straight", 14)
    assert not any(value.requires_grad for value in straight.average.parameters())  # no graph that grows with the steps
    assert straight.scenes.window.position(13) > 7  # beyond the first epoch
    train(tmp_path / "stopped", 5)
    resumed = train(tmp_path / "stopped", 14, resume=True)
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_scenes_are_those_that_training_in_memory_has(packed):
    stream, source = open_stream(settings(packed))
    original = ProceduralSource(ProceduralConfig(**SETTINGS))
    assert (source.center, source.radius, source.up) == ((0.0, 0.0, 0.0), 1.0, (0.0, 0.0, 1.0))
    for scene in stream.at(2):
        (expected,) = with_hulls(normalized([store_scene(original.load(scene.scene_id))], SceneTransform()))
        for name in ("images", "masks", "hull"):
            assert torch.equal(getattr(scene, name), getattr(expected, name))
        assert torch.equal(scene.cameras.camera_to_world, expected.cameras.camera_to_world)
    assert len(stream) == 14 and len(stream.at(2)) == 6
    stream.close()


def test_hulls_are_found_anew_for_another_sphere(packed):
    given = settings(packed)
    stream, _ = open_stream(replace(given, source=replace(given.source, radius=1.5)))
    scene = stream.at(2)[0]
    (expected,) = with_hulls([replace(scene, hull=None)])
    assert torch.equal(scene.hull, expected.hull)
    stream.close()


def test_the_command_trains_and_refuses_other_scenes(packed, photos, tmp_path, monkeypatch):
    finished = []
    monkeypatch.setattr(fit, "finish_run", lambda run, source, scenes: finished.append((source.scene_ids("test"), scenes)))
    config = tmp_path / "config.yaml"
    config.write_text(
        f"""
source: {{name: sharded, root: {packed}, buffer: 6, repeat: 1}}
encoder: {{image: {{image_size: 16, channels: [8]}}, set: {{width: 16}}, lift: {{resolution: 4, channels: 4}}}}
hypernetwork: {{latent: 16, width: 16, rank: 2}}
field: {{width: 16, depth: 1, position_frequencies: 2, plane_resolution: 4, plane_channels: 2, volume_resolution: 4}}
train: {{steps: 8, samples: 4, device: cpu, threads: 1, validations: 1, batch: {{scenes: 2, rays: 8}}}}
evaluate: {{context_views: [1], meshes: 1}}
render: {{samples: 4, grid: 8}}
"""
    )
    run = tmp_path / "run"
    assert fit.main([str(config), "--out", str(run)]) == 0
    assert finished == [(["test-chairs-00000"], 14)]
    assert parse_config(load_yaml(run / "config.yaml"), "")[0].radius == 1.0
    reconstruct.main([str(run), "--scene", str(photos), "--views", "0", "-o", str(tmp_path / "own.field.safetensors")])
    assert (tmp_path / "own.field.safetensors").is_file()  # photos of one's own are not packed, and are brought to size
    again = [str(config), "--out", str(run), "--resume", "--train.steps", "9", "--allow-change", "train.steps"]
    index = (packed / "index.json").read_text()
    try:
        (packed / "index.json").write_text(index.replace('"up": [\n0.0', '"up": [\n0.5'))
        with pytest.raises(InputError, match=r"scenes\.names"):
            fit.main(again)
    finally:
        (packed / "index.json").write_text(index)
    assert fit.main(again) == 0


def test_of_a_shard_that_is_read_the_heap_holds_one_scene_and_then_none(packed, monkeypatch):
    """Blocks of the heap that come and go with a shard, between those of training, leave holes in it."""
    read, held, each = [], [], ShardedSource.each

    def alive():
        return sum(value() is not None for value in read)

    def watched(self, split, number):
        for scene in each(self, split, number):
            held.append(alive())
            values = (scene.images, scene.masks, scene.hull, scene.cameras.intrinsics, scene.background)
            read.extend(map(weakref.ref, values))
            del values
            yield scene

    monkeypatch.setattr(ShardedSource, "each", watched)
    stream, _ = open_stream(settings(packed))
    assert len(stream.at(2)) == 6
    stream.close()  # the thread has read one shard more by now, or none of it
    assert len(read) >= 5 * 6 and max(held) <= 5 and alive() == 0

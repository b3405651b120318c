"""The viewer without a browser: what is drawn when, what is shown, and that nothing is drawn when nothing changes."""

import dataclasses
import math
import sys
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernerf.fields import FieldWeights, SceneField
from hypernerf.models import Generator
from hypernerf.rendering import RenderSettings, render_views
from hypernerf.training import reconstruct
from hypernerf.types import InputError
from hypernerf.viewer.draw import MOVING_SAMPLES, Painter
from hypernerf.viewer.picture import GRID, NOTHING, Subject, View, axial_depth, draw_picture
from hypernerf.viewer.scene import Asked, FileScenes, RunScenes, blended, distinct, plain, shown_field
from hypernerf.viewer.schedule import Drawn, Pace, Plan, moving_size, next_picture
from tests.conftest import ball, orbit, tiny

PACE = Pace(moving=0.12, rest=0.05, coarsest=16)
QUICK = dataclasses.replace(PACE, moving=10.0)


def view(number: int = 0, width: int = 48, height: int = 32) -> View:
    camera = orbit(8).camera_to_world[number]
    rows = tuple(tuple(row) for row in camera[:3, :3].tolist())
    x, y, z = camera[:3, 3].tolist()
    return View((x, y, z), rows, math.radians(45), width, height)


# what to draw next


@settings(deadline=None)
@given(st.floats(1e-8, 1e-3), st.integers(16, 2000))
def test_a_moving_picture_takes_its_time_at_most_and_is_no_coarser_than_it_must_be(cost, limit):
    last = None
    for _ in range(4):
        size = next_picture(0.0, 0, limit, last, PACE).size
        last = Drawn(size, cost * size**2)
    assert size <= limit and (last.seconds <= PACE.moving * 1.001 or size in (PACE.coarsest, limit))
    assert size == limit or cost * (size + 8) ** 2 > PACE.moving * 0.999  # the next larger one would be too slow


@settings(deadline=None)
@given(st.integers(16, 2000), st.integers(16, 2000), st.floats(0, 1))
def test_a_view_waits_for_rest_and_then_sharpens_to_the_limit_and_ends(first, limit, since):
    plan = next_picture(since, first, limit, Drawn(first, 0.1), PACE)
    if first >= limit:
        assert plan == Plan()
    elif since < PACE.rest:
        assert plan.size == 0 and plan.wait == pytest.approx(PACE.rest - since)
    sizes = [first]
    while (plan := next_picture(PACE.rest, sizes[-1], limit, None, PACE)).size:
        sizes.append(plan.size)
    assert plan == Plan() and sizes[-1] == max(first, limit)
    assert sizes == sorted(set(sizes)) and len(sizes) <= 2 + max(0, math.log2(limit / first))


def test_the_first_picture_of_all_is_small():
    assert moving_size(1000, None) < 128 and moving_size(40, None) == 40


# one picture


def test_depths_are_those_along_the_optical_axis():
    cameras = orbit(2, 8).resized(6, 10)
    rays = torch.rand(2, 6, 10) + 1
    expected = torch.empty(2, 6, 10)
    for v in range(2):
        fx, fy, cx, cy = cameras.intrinsics[v].tolist()
        for i in range(6):
            for j in range(10):
                direction = np.array([(j + 0.5 - cx) / fx, (i + 0.5 - cy) / fy, 1.0])
                expected[v, i, j] = float(rays[v, i, j]) * (direction / np.linalg.norm(direction))[2]
    assert torch.allclose(axial_depth(rays, cameras), expected, atol=1e-6)


def test_a_picture_is_what_the_renderer_draws_and_knows_where_nothing_is(scene_field):
    picture = draw_picture(Subject.of(scene_field), view(), 24, MOVING_SAMPLES)
    camera = orbit(8)[0:1].resized(16, 16)  # the view's height is its narrower side, as the orbit's field of view has it
    settings = RenderSettings(samples=MOVING_SAMPLES, grid=GRID)
    expected = render_views(scene_field.weights, camera, torch.ones(3), settings)
    assert picture.color.shape == (16, 24, 3)
    assert np.abs(picture.color[:, 4:20] / 255 - expected.color[0].numpy()).max() < 0.01  # the middle of the wider window
    middle, corner = picture.depth[8, 12], picture.depth[0, 0]
    assert middle == pytest.approx(2.613 - 0.5, abs=0.15) and corner == NOTHING  # in front of a ball of radius 0.5


# who is served when


class Browsers:
    """Takes pictures, and holds the painter at each while `gate` is closed."""

    def __init__(self) -> None:
        self.got: list[tuple[int, tuple[int, int], bytes]] = []
        self.complaints: list[str] = []
        self.gate, self.reached = threading.Event(), threading.Event()
        self.gate.set()

    def deliver(self, number, picture) -> None:
        self.reached.set()
        assert self.gate.wait(60)
        shape, data = ((0, 0), b"") if picture is None else (picture.depth.shape, picture.color.tobytes())
        self.got.append((number, shape, data))


@pytest.fixture
def browsers():
    return Browsers()


@pytest.fixture
def painter(browsers, scene_field):
    painter = Painter(browsers.deliver, browsers.complaints.append, 96, QUICK)
    painter.do("show", lambda: painter.show(scene_field))
    yield painter
    browsers.gate.set()
    painter.close()


def wait_for(condition, seconds: float = 60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


def test_pictures_sharpen_at_rest_and_then_nothing_is_drawn(painter, browsers):
    painter.limit(180)
    painter.look(1, view())
    wait_for(lambda: painter.idle)
    assert [shape for _, shape, _ in browsers.got] == [(64, 96), (120, 180)]
    painter.look(1, view())  # not new
    painter.look(2, view(1))
    painter.leave(2)
    wait_for(lambda: painter.idle)
    before = painter.draws
    time.sleep(4 * QUICK.rest)
    assert painter.idle and painter.draws == before  # nothing is ever drawn again for nothing
    painter.look(1, view(3))
    wait_for(lambda: painter.idle)
    assert painter.draws > before and browsers.got[-1][2] != browsers.got[1][2]


def test_the_latest_view_wins_and_each_browser_has_its_own(painter, browsers, scene_field):
    alone = draw_picture(Subject.of(scene_field), view(5), 96, MOVING_SAMPLES).color.tobytes()
    browsers.gate.clear()
    painter.look(1, view(0))
    assert browsers.reached.wait(60)  # the painter is held at the first picture
    for number in (1, 2, 3, 4, 5):
        painter.look(1, view(number))
    painter.look(2, view(0, 32, 32))
    browsers.gate.set()
    wait_for(lambda: painter.idle)
    mine, others = ([entry for entry in browsers.got if entry[0] == number] for number in (1, 2))
    assert len(mine) == 2 and mine[-1][2] == alone  # views 1 to 4 were never drawn
    assert [shape for _, shape, _ in others] == [(96, 96)]


def test_long_tasks_let_pictures_through_and_give_way_to_newer_ones(painter, browsers):
    wait_for(lambda: painter.idle)
    ended, begun = [], threading.Event()

    def long() -> None:
        begun.set()
        while True:
            painter.breathe()
            time.sleep(0.001)

    painter.do("long", long)
    assert begun.wait(60)
    painter.look(1, view())
    wait_for(lambda: browsers.got)  # drawn amid the task
    assert not painter.idle and painter.draws == 1
    painter.do("long", lambda: ended.append("newer"))
    wait_for(lambda: painter.idle)
    assert ended == ["newer"] and browsers.complaints == []


def test_what_fails_is_said_and_the_rest_goes_on(painter, browsers, capsys):
    def refuse() -> None:
        raise InputError("no such scene")

    painter.do("a", refuse)
    painter.do("b", lambda: 1 / 0)
    painter.do("none", lambda: painter.show(None), after=0.05)
    painter.look(1, view())
    wait_for(lambda: painter.idle)
    assert browsers.complaints == ["no such scene", "ZeroDivisionError: division by zero"]
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert browsers.got[-1][1] == (0, 0)  # told that there is nothing to see now


# what is shown


def test_blending_mixes_weights_and_refuses_other_architectures(scene_field):
    other = dataclasses.replace(scene_field, name="other", weights=ball(0.7).rounded())
    middle = blended(scene_field, other, 0.25)
    for name, value in middle.weights.tensors.items():
        expected = 0.75 * scene_field.weights.tensors[name] + 0.25 * other.weights.tensors[name]
        assert torch.allclose(value, expected, rtol=1e-3, atol=1e-4)  # half precision, as in a file
    files = FileScenes([scene_field, other])
    assert shown_field(files, Asked(0, 1, 0.0)) is scene_field and shown_field(files, Asked(1, 1, 0.5)) is other
    spec = dataclasses.replace(scene_field.weights.spec, width=64)
    narrow = FieldWeights(spec, {name: torch.zeros(1, *shape) for name, shape in spec.param_shapes.items()})
    with pytest.raises(InputError, match="ball and narrow have different architectures"):
        blended(scene_field, dataclasses.replace(scene_field, name="narrow", weights=narrow), 0.5)


def test_strangers_names_become_plain_and_distinct():
    assert plain("../../etc/pass wd") == "etc-pass-wd" and plain("<b>") == "b" and plain("/") == "scene"
    assert distinct(["a", "a", "a-2", "a"]) == ["a", "a-2", "a-2-2", "a-3"]


@pytest.mark.usefixtures("_one_thread")
def test_a_run_reads_scenes_when_asked_and_keeps_what_it_made(stored):
    torch.manual_seed(0)
    generator, loads, steps = Generator(tiny().generator).eval().requires_grad_(False), [], []
    by_name = {scene.scene_id: scene for scene in stored}

    def load(name):
        loads.append(name)
        return by_name[name]

    def as_field(name, weights, cameras):
        return SceneField(name, weights)

    run = RunScenes(generator, list(by_name), load, lambda count: list(range(count)), as_field, 6)
    second = stored[1]
    field = shown_field(run, Asked(scene=1, views=2))
    expected = reconstruct(generator, second, [0, 1])
    assert all(torch.equal(value, expected.tensors[name]) for name, value in field.weights.tensors.items())
    context = run.context(1, 2)
    assert torch.equal(context.images, second.image([0, 1])) and len(context.cameras) == 2
    assert shown_field(run, Asked(scene=1, views=2)) is field and loads == [second.scene_id]  # nothing is done twice
    adapted = shown_field(run, Asked(scene=1, views=2, steps=2), lambda done, total: steps.append((done, total)))
    assert steps and steps[-1][0] == steps[-1][1] and adapted.weights.spec == field.weights.spec
    with pytest.raises(InputError, match="has 6 views, too few"):
        run.field(0, 7, 0, lambda done, total: None)


# the command


def test_it_says_what_to_install_and_what_cannot_be_opened(scene_field, tmp_path, monkeypatch):
    from hypernerf.cli.view import main
    from hypernerf.fields import save_delta_file, save_scene_file
    from hypernerf.fields.delta import make_base

    path = tmp_path / "ball.field.safetensors"
    save_scene_file(path, scene_field)
    for arguments, words in [
        ([path, tmp_path], "a run is looked at alone"),
        ([tmp_path], "not a run folder"),
        ([tmp_path / "none"], "no such scene file"),
        ([path, "--source.root", "x"], "unexpected argument --source.root"),
        ([path, "--port", "65536"], "--port must be between"),
    ]:
        with pytest.raises(InputError, match=words):
            main([*map(str, arguments), "-o", str(tmp_path)])
    (tmp_path / "moved").mkdir()
    base = make_base(scene_field.weights.map(lambda value: value.repeat(3, 1, 1)))
    save_delta_file(tmp_path / "moved" / "small.field.safetensors", scene_field, base)
    (tmp_path / "moved" / base.file_name).rename(tmp_path / "base.safetensors")
    small = [str(tmp_path / "moved" / "small.field.safetensors"), "-o", str(tmp_path)]
    with pytest.raises(InputError, match="give --base"):
        main(small)
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(InputError, match=r"hypernerf\[viewer\]"):  # it was read
        main([*small, "--base", str(tmp_path / "base.safetensors")])
    with pytest.raises(InputError, match=r"pip install 'hypernerf\[viewer\]'"):
        main([str(path), "-o", str(tmp_path)])


def test_the_speed_of_a_moving_camera_is_measured_without_a_browser(scene_field, tmp_path, capsys, monkeypatch):
    from hypernerf.cli import view as command
    from hypernerf.fields import save_scene_file

    path = tmp_path / "ball.field.safetensors"
    save_scene_file(path, scene_field)
    monkeypatch.setattr("hypernerf.viewer.measure.TURN", 2)
    monkeypatch.setattr(command, "keep_freed_memory", lambda: None)  # it would stay set for the tests that follow
    monkeypatch.setitem(sys.modules, "viser", None)
    command.main([str(path), "--measure"])
    assert "pictures a second of 128x128" in capsys.readouterr().out.replace("\n", " ")

"""The page in a real browser, drawn by a processor: what it draws, what it does when touched, and that it asks for nothing."""

import math
import re

import numpy as np
import pytest
import torch

from hypernerf.export import web
from hypernerf.export.web import ROW, packed, web_page, write_web_page
from hypernerf.fields import FieldSpec, FieldWeights, SceneField, initial_weights
from hypernerf.rendering import RenderSettings, render_views
from hypernerf.types import Cameras, InputError
from tests.browser import CHROMIUM, chromium
from tests.conftest import orbit

GRID = 16  # small, since the processor fills it
# every part a field may have, with numbers of channels that are no multiples of four
SPEC = FieldSpec(
    width=16, depth=2, position_frequencies=3, direction_frequencies=2, plane_resolution=5, plane_channels=3, volume_resolution=4,
    volume_channels=5,
)  # fmt: skip
QUICKSTART = FieldSpec(depth=2, position_frequencies=4, plane_resolution=32, plane_channels=4, volume_resolution=12)


def scene(seed: int, spec: FieldSpec = SPEC) -> SceneField:
    """A field that is opaque in some places and empty in others."""
    generator = torch.Generator().manual_seed(seed)
    weights = {name: (value + 0.7 * torch.randn(value.shape, generator=generator))[None]
               for name, value in initial_weights(spec, generator).items()}  # fmt: skip
    return SceneField(f"scene {seed}", FieldWeights(spec, weights).rounded(), background=(0.2, 0.9, 0.6))


def mixed(a: SceneField, b: SceneField, share: float) -> FieldWeights:
    others = b.weights.tensors
    return FieldWeights(SPEC, {name: torch.lerp(value, others[name], share) for name, value in a.weights.tensors.items()})


def as_script(camera: Cameras) -> str:
    pose = camera.camera_to_world
    return (
        f"{{rotation: {pose[:3, :3].flatten().tolist()}, origin: {pose[:3, 3].tolist()}, "
        f"intrinsics: {camera.intrinsics.tolist()}, width: {camera.width}, height: {camera.height}}}"
    )


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return -10 * math.log10(((a - b) ** 2).mean())


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("needs a browser that can be driven: apt-get install chromium")
    folder = tmp_path_factory.mktemp("web")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "GRID", GRID)
        write_web_page(folder / "two.html", [scene(0), scene(1)], "Two <scenes> & more")
    with chromium(folder / "profile") as page:
        page.resize(40, 36)  # so few pixels are drawn at once on any machine
        page.open((folder / "two.html").as_uri())
        page.run("for (const part of document.querySelectorAll('header, footer')) part.hidden = true")
        yield page


def test_it_draws_what_the_python_renderer_draws(page):
    cameras = orbit(5, 128)[1:2]
    pixels = page.run(f"Array.from(hypernerf.render({{place: 0.25, camera: {as_script(cameras[0])}, samples: 8}}))")
    drawn = np.array(pixels, dtype=np.float32).reshape(128, 128, 3) / 255
    weights = mixed(scene(0), scene(1), 0.25)
    expected = render_views(weights, cameras, torch.tensor(scene(0).background), RenderSettings(samples=8, grid=GRID))
    assert 0.1 < expected.opacity.mean() < 0.7 and expected.color.std() > 0.1  # there is something to be wrong about
    assert psnr(drawn, expected.color[0].numpy()) > 45


def test_it_turns_zooms_slides_rests_and_asks_for_nothing(page):
    def rested() -> bytes:
        page.wait(lambda: page.run("hypernerf.idle"))
        return page.screenshot()

    first = rested()
    draws = page.run("hypernerf.draws")
    page.drag([(10, 10), (25, 18)])
    turned = rested()
    page.wheel(20, 18, -200)
    nearer = rested()
    page.pinch((20, 18), 8, 12)
    nearest = rested()
    page.run("document.getElementById('view').dispatchEvent(new MouseEvent('dblclick'))")
    again = rested()
    page.run("(slider => { slider.value = 1; slider.dispatchEvent(new Event('input')) })(document.getElementById('scene'))")
    other = rested()
    assert len({first, turned, nearer, nearest, other}) == 5 and again == first
    assert page.run("document.getElementById('name').textContent") == "scene 1"
    assert page.run("document.querySelector('h1').textContent") == "Two <scenes> & more"
    assert page.run("hypernerf.draws") > draws

    draws = page.run("hypernerf.draws")
    page.run("new Promise(done => setTimeout(done, 300))")
    assert page.run("hypernerf.draws") == draws and page.run("hypernerf.idle")

    assert page.requests == [page.run("location.href")] and page.complaints == []
    blocked = page.run("fetch('https://example.com').then(() => 'reached', () => 'blocked')")  # the page's own policy
    assert blocked == "blocked" and any("Content Security Policy" in text for text in page.complaints)


def test_it_says_so_when_a_browser_cannot_draw_it(page):
    page.call("Page.addScriptToEvaluateOnNewDocument", source="HTMLCanvasElement.prototype.getContext = () => null")
    page.call("Page.reload")
    said = page.wait(lambda: page.run("document.getElementById('trouble')?.checkVisibility() && trouble.textContent"))
    assert "needs WebGL2" in said


def test_a_page_of_one_scene_is_small_and_names_no_address():
    text = web_page([scene(0, QUICKSTART)], "chair")
    assert len(text.encode()) < 200_000
    assert not re.search(r"https?://|\bsrc=|@import|url\(", text)


def test_a_field_for_which_no_texture_is_large_enough_is_refused():
    spec = FieldSpec(volume_resolution=128, volume_channels=12)
    values = {name: torch.zeros(1).expand(1, *shape) for name, shape in spec.param_shapes.items()}
    with pytest.raises(InputError, match=f"can hold {4 * ROW * ROW} numbers"):
        packed(FieldWeights(spec, values))

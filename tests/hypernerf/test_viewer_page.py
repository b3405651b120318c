"""The viewer in a real browser: it connects, moves the camera, gets new pictures, and takes a mesh and a still home."""

import dataclasses
import io
import socket
import time

import imageio.v3 as iio
import numpy as np
import pytest
import trimesh

from hypernerf.types import InputError
from hypernerf.viewer.scene import FileScenes
from hypernerf.viewer.server import Address, Viewer
from tests.browser import CHROMIUM, chromium
from tests.conftest import ball

SIZE = (900, 500)
MIDDLE = 450  # between field and mesh
BALL = np.array([0.881, 0.269, 0.622]) * 255  # sigmoid(2, -1, 0.5)


@pytest.fixture
def viewer(scene_field, tmp_path):
    pytest.importorskip("viser", reason="needs the extra: pip install 'hypernerf[viewer]'")
    second = dataclasses.replace(scene_field, weights=ball(0.3).rounded())
    viewer = Viewer(FileScenes([scene_field, second]), scene_field, Address(port=0), tmp_path / "out")
    yield viewer
    viewer.close()


@pytest.mark.timeout(900)  # ten seconds on a machine that does nothing else
def test_it_is_looked_at_turned_and_taken_home(viewer, tmp_path):
    if CHROMIUM is None:
        pytest.skip("needs a browser that can be driven: apt-get install chromium")

    def seen() -> np.ndarray:
        """Where the window has the ball's color, once all is drawn and shown."""
        page.wait(lambda: viewer.painter.idle and "×" in (page.run(line) or ""), 240)
        before = b""
        while (now := page.screenshot()) != before:
            before = now
            page.run("new Promise(done => setTimeout(done, 300))")
        return (np.abs(iio.imread(io.BytesIO(now))[..., :3] - BALL).max(-1) < 24) & outside

    with chromium(tmp_path / "profile") as page:
        page.resize(*SIZE)
        page.open(viewer.url)
        line = "[...document.querySelectorAll('input')].map(input => input.value).at(-1)"
        outside = np.arange(SIZE[0])[None] < 560  # of the panel
        page.wait(lambda: min((now := seen())[:, :MIDDLE].sum(), now[:, MIDDLE:].sum()) > 500)
        first = seen()
        assert 0.5 < first[:, :MIDDLE].sum() / first[:, MIDDLE:].sum() < 2  # field and mesh, side by side

        draws = viewer.painter.draws
        time.sleep(0.4)
        assert viewer.painter.draws == draws and viewer.painter.idle  # nothing is drawn for nothing

        page.drag([(300, 420), (330, 425), (360, 430), (390, 430)])
        page.wait(lambda: viewer.painter.draws > draws)
        turned = seen()
        assert (turned != first).mean() > 0.01

        for name, suffix in (("Write mesh", "glb"), ("Save still", "png")):
            press = f"[...document.querySelectorAll('button')].find(b => b.textContent.includes('{name}')).click()"
            page.run(press)
            page.wait(lambda suffix=suffix: (tmp_path / "out" / f"ball.{suffix}").exists() and viewer.painter.idle)
        loaded = trimesh.load_mesh(tmp_path / "out" / "ball.glb")
        assert loaded.is_watertight and np.allclose(loaded.bounds.mean(0), [1, 2, 3], atol=0.05)  # the user's units
        still = iio.imread(tmp_path / "out" / "ball.png")
        assert still.shape == (SIZE[1], SIZE[0], 3) and (np.abs(still - BALL).max(-1) < 24).sum() > 500

        page.run(f"document.body.append(Object.assign(document.createElement('iframe'), {{src: '{viewer.url}', id: 'other'}}))")
        page.wait(lambda: len(viewer.server.get_clients()) == 2 and viewer.painter.idle)
        windows = {viewer.painter.view(number).width for number in viewer.server.get_clients()}
        assert len(windows) == 2  # each has its own view
        page.run("document.getElementById('other').remove()")
        page.wait(lambda: len(viewer.server.get_clients()) == 1)
        assert all(address.startswith((viewer.url, "data:", "blob:")) for address in page.requests)
        assert page.complaints == []


def test_it_listens_on_this_machine_alone_and_says_what_is_taken(viewer, scene_field, tmp_path):
    port = viewer.server.get_port()
    assert viewer.url == f"http://127.0.0.1:{port}" and viewer.server.get_host() == "127.0.0.1"
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.2", port)) != 0  # which it would be if all addresses were listened on
    assert viewer.server.request_share_url() is None
    for address, words in [
        (Address(port=port), f"--port {port} at 127.0.0.1 cannot be taken"),
        (Address("192.0.2.1", 0), "choose another --port, or another --host"),
        (Address("no such host."), "no such address"),
    ]:
        with pytest.raises(InputError, match=words):
            Viewer(FileScenes([scene_field]), scene_field, address, tmp_path)

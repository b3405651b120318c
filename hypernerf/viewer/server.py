"""The viewer's server: browsers come and go, each with its own camera and its own pictures."""

from __future__ import annotations

import contextlib
import io
import math
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..fields import SceneField
from ..types import InputError
from .draw import Painter
from .panel import APART, Panel, right_of
from .picture import Picture, View
from .scene import Scenes

if TYPE_CHECKING:
    import viser

PORT, PORTS = 8080, 100  # where to look for a free port, and how many to try
LOOPBACK = ("127.0.0.1", "localhost", "::1")
BACK = 2.1  # the first camera is so much farther away than the context cameras: field and mesh fit into a window


@dataclass(frozen=True)
class Address:
    host: str = "127.0.0.1"
    port: int | None = None  # None: 8080, or the next that is free; 0: any


class Viewer:
    """A running viewer; `url` is where browsers find it."""

    def __init__(self, scenes: Scenes, first: SceneField, address: Address, output: Path, views: int = 1) -> None:
        """
        Args:
            first: says where the first camera stands.
            output: folder that meshes and stills are written to.
            views: context views at first.

        Raises:
            InputError: viser is missing, or the address cannot be taken.
        """
        self.server = _start(address)
        self._browsers: dict[int, _Browser] = {}
        self.painter = Painter(self._deliver, self._complain)
        self._set_first_camera(first)
        self.panel = Panel(self.server, scenes, self.painter, output, views)
        self.server.on_client_connect(self._come)
        self.server.on_client_disconnect(self._go)
        host = socket.gethostname() if address.host in ("0.0.0.0", "::") else address.host
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.server.get_port()}"

    def close(self) -> None:
        self.painter.close()
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()

    def _set_first_camera(self, field: SceneField) -> None:
        camera, up = self.server.initial_camera, np.asarray(field.up) / np.linalg.norm(field.up)
        right = right_of(field.up)
        towards = math.cos(math.radians(20)) * np.cross(right, up) + math.sin(math.radians(20)) * up
        middle = right * APART / 2
        self.server.scene.set_up_direction(field.up)
        camera.look_at = middle
        camera.position = middle + BACK * field.camera_distance * towards
        camera.up, camera.fov = up, math.radians(field.field_of_view_degrees)

    # on the server's thread

    async def _come(self, client: viser.ClientHandle) -> None:
        self._browsers[client.client_id] = _Browser(client, client.gui.add_text("picture", "", disabled=True))

        async def moved(camera: viser.CameraHandle) -> None:
            self.painter.look(client.client_id, view_of(camera))

        client.camera.on_update(moved)
        await moved(client.camera)

    async def _go(self, client: viser.ClientHandle) -> None:
        self.painter.leave(client.client_id)
        self._browsers.pop(client.client_id, None)

    # on the painter's thread

    def _deliver(self, number: int, picture: Picture | None) -> None:
        browser = self._browsers.get(number)
        if browser is not None:
            browser.show(picture)

    def _complain(self, text: str) -> None:
        for browser in list(self._browsers.values()):
            browser.client.add_notification("Not done", text, color="red", auto_close_seconds=15.0)


class _Browser:
    def __init__(self, client: viser.ClientHandle, line: Any) -> None:
        self.client, self._line = client, line

    def show(self, picture: Picture | None) -> None:
        """Sends a picture, whose depth decides what of the cameras and the mesh is in front of it."""
        if picture is None:
            self.client.scene.set_background_image(None)
            self._line.value = "none"
            return
        self.client.scene.set_background_image(picture.color, format="jpeg", jpeg_quality=90, depth=picture.depth)
        height, width = picture.depth.shape
        self._line.value = f"{width}×{height} in {1000 * picture.seconds:.0f} ms"


def view_of(camera: viser.CameraHandle) -> View:
    """Where a browser looks from."""
    import viser.transforms

    rotation = viser.transforms.SO3(camera.wxyz).as_matrix()
    x, y, z = camera.position.tolist()
    rows = tuple(tuple(row) for row in rotation.tolist())
    return View((x, y, z), rows, float(camera.fov), max(camera.image_width, 1), max(camera.image_height, 1))


def _start(address: Address) -> viser.ViserServer:
    try:
        import viser
    except ImportError:
        raise InputError("the viewer needs viser: pip install 'hypernerf[viewer]'") from None
    port = _free_port(address)
    with contextlib.redirect_stdout(io.StringIO()):  # its banner; we print the address ourselves
        server = viser.ViserServer(address.host, port, label="hypernerf", verbose=False)
    if address.port and server.get_port() != address.port:
        server.stop()
        raise InputError(f"--port {address.port}: taken by another program: choose another")
    # its panel offers to make the scene public through a stranger's server
    server.gui.configure_theme(show_share_button=False, show_logo=False)
    server.request_share_url = lambda verbose=True: None  # type: ignore[method-assign]
    return server


def _free_port(address: Address) -> int:
    """Tried before viser does, which would go on to other ports, and wait forever at an address that is not ours."""
    ports = range(PORT, PORT + PORTS) if address.port is None else [address.port]
    try:
        family, *_, place = socket.getaddrinfo(address.host, None, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise InputError(f"--host {address.host}: no such address: give one of this machine's, or 0.0.0.0 for all") from None
    for port in ports:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((place[0], port))
                return port
            except OSError as error:
                reason = error.strerror
    what = f"--port {address.port}" if address.port else f"ports {PORT} to {PORT + PORTS - 1}"
    raise InputError(f"{what} at {address.host} cannot be taken ({reason}): choose another --port, or another --host")

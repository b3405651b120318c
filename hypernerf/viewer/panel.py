"""What people touch: the panel of controls, the cameras and the mesh in the scene. Nothing is computed here; `Painter` does."""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from ..export import extract_mesh, moved, save_image, save_mesh
from ..export.glb import glb_bytes
from ..export.sheet import to_bytes
from ..fields import SceneField
from ..files import make_folder
from ..types import InputError
from .draw import Painter
from .scene import Asked, Context, Scenes, plain, shown_field

if TYPE_CHECKING:
    import viser

BESIDE, INSTEAD, HIDDEN = "beside the field", "instead of the field", "hidden"
APART = 1.8  # between field and mesh, in radii of the scene sphere
MESH_AFTER = 0.6  # seconds without a change before the mesh is made anew
MOST_STEPS, STILL_SIZE = 400, 2048
TURN = math.radians(35)
FRUSTUM = 0.2  # size of a context camera, in radii of the scene sphere


class Panel:
    """Shared by all browsers: what is shown. Each browser has its own camera."""

    def __init__(self, server: viser.ViserServer, scenes: Scenes, painter: Painter, output: Path, views: int) -> None:
        self._server, self._scenes, self._painter, self._output = server, scenes, painter, output
        self._field: SceneField | None = None
        self._context: tuple[int, int] | None = None  # what the cameras in the scene belong to
        self._cameras: list[viser.CameraFrustumHandle] = []
        self._mesh: viser.GlbHandle | None = None
        self._up: tuple[float, float, float] | None = None
        self._told = 0.0  # when progress was last shown
        gui = server.gui
        names = list(scenes.names)
        with gui.add_folder("Scene"):
            self._scene = gui.add_dropdown("scene", names)
            self._views = gui.add_slider("context views", 1, max(scenes.most_views, 1), 1, min(views, max(scenes.most_views, 1)))
            self._steps = gui.add_slider("adaptation steps", 0, MOST_STEPS, 20, 0)
            self._other = gui.add_dropdown("blend with", names, initial_value=names[min(1, len(names) - 1)])
            self._blend = gui.add_slider("blend", 0.0, 1.0, 0.02, 0.0)
            self._progress = gui.add_progress_bar(0.0, visible=False)
        with gui.add_folder("Picture"):
            self._limit = gui.add_slider("resolution", 64, 1024, 64, 512, hint="pixels along the longer side, at rest")
            self._show_cameras = gui.add_checkbox("context cameras", True, visible=scenes.most_views > 0)
            self._still = gui.add_button("Save still (PNG)")
        with gui.add_folder("Mesh"):
            self._place = gui.add_dropdown("mesh", (BESIDE, INSTEAD, HIDDEN))
            self._grid = gui.add_slider("grid", 32, 256, 16, 96, hint="cells along a side")
            self._write = gui.add_button("Write mesh (GLB)")
        self._views.visible = self._steps.visible = scenes.most_views > 0
        self._other.visible = self._blend.visible = len(names) > 1
        self._listen()
        painter.limit(self._limit.value)
        self.ask()

    def _listen(self) -> None:
        """Callbacks run one after the other on the server's own thread, so the newest values are the last that are asked for."""

        async def ask(event) -> None:
            self.ask()

        async def ask_mesh(event) -> None:
            self._painter.do("place", self._place_mesh)

        async def limit(event) -> None:
            self._painter.limit(self._limit.value)

        async def cameras(event) -> None:
            for handle in self._cameras:
                handle.visible = self._show_cameras.value

        async def write(event) -> None:
            self._painter.do(f"write {event.client_id}", partial(self._write_mesh, event.client))

        async def still(event) -> None:
            self._painter.do(f"still {event.client_id}", partial(self._save_still, event.client))

        for handle in (self._scene, self._views, self._steps, self._other, self._blend):
            handle.on_update(ask)
        for handle in (self._place, self._grid):
            handle.on_update(ask_mesh)
        self._limit.on_update(limit)
        self._show_cameras.on_update(cameras)
        self._write.on_click(write)
        self._still.on_click(still)

    def ask(self) -> None:
        """Shows what the controls say."""
        number = list(self._scenes.names).index
        asked = Asked(
            number(self._scene.value), number(self._other.value), self._blend.value, self._views.value, self._steps.value
        )
        self._painter.do("show", partial(self._show, asked))

    # on the painter's thread

    def _show(self, asked: Asked) -> None:
        try:
            self._field = shown_field(self._scenes, asked, self._step)
        finally:
            self._progress.visible = False
        if self._field.up != self._up:
            self._up = self._field.up
            self._server.scene.set_up_direction(self._up)
        self._painter.show(None if self._place.value == INSTEAD else self._field)
        if self._context != (asked.scene, asked.views):
            self._draw_cameras(self._scenes.context(asked.scene, asked.views))
            self._context = (asked.scene, asked.views)
        self._painter.do("place", self._place_mesh, MESH_AFTER)

    def _step(self, done: int, total: int) -> None:
        self._painter.breathe()
        if time.monotonic() - self._told > 0.2:
            self._progress.visible = True
            self._progress.value = 100 * done / max(total, 1)  # type: ignore[misc]  # viser's own way to set it
            self._told = time.monotonic()

    def _draw_cameras(self, context: Context | None) -> None:
        with self._server.atomic():
            for handle in self._cameras:
                handle.remove()
            self._cameras = []
            for i in range(0 if context is None else len(context.images)):
                assert context is not None
                camera = context.cameras[i]
                rotation = Rotation.from_matrix(camera.camera_to_world[:3, :3].double().numpy())
                handle = self._server.scene.add_camera_frustum(
                    f"/cameras/{i}",
                    fov=2 * math.atan(camera.height / 2 / float(camera.intrinsics[1])),
                    aspect=camera.width / camera.height,
                    scale=FRUSTUM,
                    thickness=2.0,
                    thickness_units="screen",
                    image=to_bytes(context.images[i]),
                    wxyz=rotation.as_quat(scalar_first=True),
                    position=camera.positions.numpy(),
                    color=(60, 110, 200),
                    visible=self._show_cameras.value,
                )
                self._cameras.append(handle)

    def _place_mesh(self) -> None:
        """The mesh of what is shown, where it is wanted."""
        if self._field is None:
            return
        place = self._place.value
        self._painter.show(None if place == INSTEAD else self._field)
        if self._mesh is not None:
            self._mesh.remove()
            self._mesh = None
        if place == HIDDEN:
            return
        transform = self._field.transform
        matrix = np.eye(4)
        matrix[:3, :3] /= transform.radius
        matrix[:3, 3] = -np.array(transform.center) / transform.radius
        mesh = moved(extract_mesh(self._field, self._grid.value), matrix)
        where = beside(self._field.up) if place == BESIDE else np.zeros(3)
        self._mesh = self._server.scene.add_glb("/mesh", glb_bytes(mesh.vertices, mesh.faces, mesh.colors), position=where)

    def _write_mesh(self, client: viser.ClientHandle | None) -> None:
        if self._field is None:
            return
        make_folder(self._output)
        path = next_free(self._output, self._field.name, ".glb")
        save_mesh(path, extract_mesh(self._field, self._grid.value))
        self._hand_over(client, path)

    def _save_still(self, client: viser.ClientHandle | None) -> None:
        view = None if client is None else self._painter.view(client.client_id)
        if self._field is None or view is None:
            return
        picture = self._painter.still(view, min(max(view.width, view.height), STILL_SIZE))
        if picture is None:
            raise InputError("no field is shown: choose another place for the mesh")
        make_folder(self._output)
        path = next_free(self._output, self._field.name, ".png")
        save_image(path, Image.fromarray(picture.color))
        self._hand_over(client, path)

    def _hand_over(self, client: viser.ClientHandle | None, path: Path) -> None:
        """What was written lies beside the program; the browser that asked gets a copy."""
        if client is not None and client.client_id in self._server.get_clients():
            client.add_notification("Written", str(path), auto_close_seconds=10.0)
            client.send_file_download(path.name, path.read_bytes(), save_immediately=True)


def beside(up: tuple[float, float, float]) -> np.ndarray:
    """Where the mesh stands, seen from the first camera: to the right of the field."""
    return APART * right_of(up)


def right_of(up: tuple[float, float, float]) -> np.ndarray:
    """A unit vector across `up`, and across no coordinate axis: objects mostly stand along these, and show more from between."""
    axis = np.asarray(up) / np.linalg.norm(up)
    across = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
    across /= np.linalg.norm(across)
    return math.cos(TURN) * across + math.sin(TURN) * np.cross(axis, across)


def next_free(folder: Path, name: str, suffix: str) -> Path:
    """A path in `folder` at which nothing is yet: NAME.glb, NAME-2.glb, …"""
    stem, number = plain(name), 2
    path = folder / f"{stem}{suffix}"
    while path.exists():
        path, number = folder / f"{stem}-{number}{suffix}", number + 1
    return path

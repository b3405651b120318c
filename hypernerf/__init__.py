"""A hypernetwork that turns a few posed images of a scene into the weights of a small radiance field.

What most programs need is here, imported when it is first asked for; docs/tutorial.md shows how it goes together.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cli.hub import push_to_hub
    from .cli.reconstruction import open_scene, reconstruct_scene
    from .cli.session import Run, from_pretrained, load_run
    from .export.onnx_field import save_onnx
    from .export.placement import Placement
    from .export.sheet import to_bytes
    from .export.video import save_frames
    from .export.web import write_web_page
    from .export.write_mesh import MeshSettings, write_mesh
    from .fields.scene_file import SceneField, load_scene_file, save_scene_file
    from .geometry.cameras import look_at
    from .rendering.renderer import RenderSettings
    from .rendering.scene_views import render_scene, scene_orbit
    from .types import Cameras, InputError, RenderOutput, SceneViews

__version__ = "0.1.0"
__all__ = [
    "Cameras", "InputError", "MeshSettings", "Placement", "RenderOutput", "RenderSettings", "Run", "SceneField", "SceneViews",
    "from_pretrained", "load_run", "load_scene_file", "look_at", "open_scene", "push_to_hub", "reconstruct_scene", "render_scene",
    "save_frames", "save_onnx", "save_scene_file", "scene_orbit", "to_bytes", "write_mesh", "write_web_page",
]  # fmt: skip
_PLACES = {
    "cli.hub": ("push_to_hub",),
    "cli.reconstruction": ("open_scene", "reconstruct_scene"),
    "cli.session": ("Run", "from_pretrained", "load_run"),
    "export.onnx_field": ("save_onnx",),
    "export.placement": ("Placement",),
    "export.sheet": ("to_bytes",),
    "export.video": ("save_frames",),
    "export.web": ("write_web_page",),
    "export.write_mesh": ("MeshSettings", "write_mesh"),
    "fields.scene_file": ("SceneField", "load_scene_file", "save_scene_file"),
    "geometry.cameras": ("look_at",),
    "rendering.renderer": ("RenderSettings",),
    "rendering.scene_views": ("render_scene", "scene_orbit"),
    "types": ("Cameras", "InputError", "RenderOutput", "SceneViews"),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    """PEP 562: `import hypernerf` costs nothing, and a name costs what it needs."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

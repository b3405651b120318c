"""render_views: new views of a reconstructed scene, as a video, a gif or pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from scenes.camera_path import read_camera_path

from ..export import save_frames
from ..export.maps import KINDS, deviation_colors, view_picture
from ..fields import SceneField, load_scene_file, load_spread
from ..geometry import normalize_cameras, orbit_cameras
from ..rendering import RenderSettings, render_views, scene_occupancy
from ..training.uncertainty import predicted_deviation
from ..types import Cameras, InputError, RenderOutput
from .common import Parser, check_writable, console, tracked


def main(arguments: Sequence[str]) -> None:
    options = _parser().parse_args(arguments)
    if options.output.suffix.lower() not in ("", ".mp4", ".gif"):
        raise InputError(f"{options.output}: unknown format {options.output.suffix!r}: use FILE.mp4, FILE.gif or a folder")
    if not 1 <= options.fps <= 120:
        raise InputError(f"--fps must be between 1 and 120, not {options.fps}")
    check_writable(options.output.parent, "-o")
    scene = load_scene_file(options.scene, options.base)
    cameras = _cameras(scene, options)
    settings = RenderSettings(samples=options.samples)
    distribution = load_spread(options.scene, scene.weights) if options.uncertainty else None
    occupancy = scene_occupancy(scene.weights, settings.grid)  # the same for every view
    views, deviations = [], []
    for number in tracked(range(len(cameras)), "render"):
        view = render_views(scene.weights, cameras[number : number + 1], torch.tensor(scene.background), settings, occupancy)
        views.append(RenderOutput(view.color[0], view.opacity[0], view.depth[0]))
        if distribution is not None:
            background = torch.tensor(scene.background)
            deviations.append(predicted_deviation(distribution, cameras[number : number + 1], background, settings)[1][0].numpy())
    near, far = _depth_range(views)
    frames = [view_picture(view, options.show, (near, far), scene.background) for view in views]
    if deviations:
        most = float(np.quantile(deviations, 0.99))
        frames = [np.concatenate([f, deviation_colors(d, most)], axis=1) for f, d in zip(frames, deviations, strict=True)]
        console.print(f"deviations from 0 (dark blue) to {most:.3g} (yellow) of colors in 0..1")
    save_frames(options.output, np.stack(frames), options.fps)
    console.print(f"{options.output}: {len(frames)} views of {cameras.height}x{cameras.width}")
    if "depth" in options.show:
        radius = scene.transform.radius
        console.print(f"depth from {near * radius:.4g} (yellow) to {far * radius:.4g} (dark blue), in the scene's own units")


def _parser() -> Parser:
    parser = Parser(
        "Render a scene file: a turn around the object, or given cameras (nerfstudio's transforms.json or camera path: OpenGL "
        "axes, the units of the scene's own cameras); colors, depth and opacity side by side.",
        "  python tools/render_views.py out/chair.field.safetensors --orbit 36 --size 128 128 -o out/chair.mp4\n"
        "  python tools/render_views.py out/chair.field.safetensors --show color depth opacity -o out/chair.gif\n"
        "  python tools/render_views.py out/chair.field.safetensors --uncertainty -o out/uncertain.gif",
    )
    parser.add_scene()
    path = parser.add_mutually_exclusive_group()
    path.add_argument("--orbit", type=int, metavar="N", help="N views around the object (default: 36)")
    path.add_argument("--cameras", type=Path, metavar="FILE", help="transforms.json, or nerfstudio's camera path")
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="pixels (default: 128 128, or the cameras' own)")
    parser.add_argument("--elevation", type=float, default=25.0, metavar="DEGREES", help="of the orbit (default: 25)")
    parser.add_argument(
        "--show",
        nargs="+",
        choices=KINDS,
        default=["color"],
        metavar="WHAT",
        help="color, depth, opacity, side by side (default: color)",
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="beside it, how uncertain each pixel is: dark blue where it is certain, yellow where sampled fields differ most",
    )
    parser.add_argument("--fps", type=int, default=20, metavar="N", help="frames a second of a video (default: 20)")
    parser.add_argument("--samples", type=int, default=64, metavar="N", help="points a ray (default: 64)")
    parser.add_output("FILE.mp4, FILE.gif, or a folder for 0000.png …", metavar="OUT")
    return parser


def _depth_range(views: Sequence[RenderOutput]) -> tuple[float, float]:
    """The nearest and the farthest depth in any view; never equal."""
    depths = torch.cat([view.depth[view.depth > 0] for view in views])
    if not len(depths):
        return 0.0, 1.0
    near = float(depths.min())
    return near, max(float(depths.max()), near + 1e-6)


def _cameras(scene: SceneField, options) -> Cameras:
    """In scene-sphere coordinates."""
    if options.size is not None and not all(8 <= value <= 8192 for value in options.size):
        raise InputError(f"--size must be between 8 and 8192 pixels, not {options.size[0]} {options.size[1]}")
    if options.cameras is not None:
        cameras = normalize_cameras(read_camera_path(options.cameras), scene.transform)
        return cameras if options.size is None else cameras.resized(*options.size)
    count = 36 if options.orbit is None else options.orbit
    if count < 1:
        raise InputError(f"--orbit must be at least 1, not {count}")
    return orbit_cameras(
        count, distance=scene.camera_distance, elevation_degrees=options.elevation, size=tuple(options.size or (128, 128)),
        field_of_view_degrees=scene.field_of_view_degrees, up=torch.tensor(scene.up),
    )  # fmt: skip

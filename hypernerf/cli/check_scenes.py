"""check_scenes: what a folder of scenes is, drawn, and what would go wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.markup import escape

from scenes.detect import FORMATS, Format, find_scenes
from scenes.source import SceneError, SourceConfig, check_scene, source_config_type
from scenes.traps import Trap, find_traps

from ..config import apply_overrides, from_dict
from ..export.camera_sheet import camera_sheet
from ..export.sheet import save_image
from ..training import shared_sphere, store_scene
from ..types import InputError, SceneTransform, SceneViews
from .common import Parser, check_writable, console, tracked, write_json

SIZE = 128  # pixels along a side that images are looked at in, unless told otherwise


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        "Say which format the scenes in DIR have, how many there are and of how many views; draw their cameras, and the scene "
        "sphere over their images; name what would spoil training or reconstruction without failing (axes, scale, pixel "
        "centers, cut-off objects, missing masks), each with the flag that mends it. The same flags, `--source.KEY VALUE`, go "
        "to fit_scenes.py, evaluate.py and reconstruct.py; give them here to see whether they help. For a run that is there "
        "already, state its scene sphere (--source.radius 1 for scenes that we draw).",
        "  python tools/check_scenes.py my_chair --source.radius 1 -o out/check.png",
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="one scene, a folder of scenes, or the common prefix of splits")
    parser.add_output("the picture", default=Path("out/check_scenes.png"))
    parser.add_argument("--scenes", type=int, default=6, metavar="N", help="how many to look at, spread over all (default: 6)")
    parser.add_json()
    options, overrides = parser.parse_known_args(arguments)
    if options.scenes < 1:
        raise InputError(f"--scenes {options.scenes}: look at one at least")
    known, folders = find_scenes(options.folder)
    config, known = _config(known, options.folder, overrides)
    check_writable(options.output.parent, "-o")
    chosen = folders[:: -(-len(folders) // options.scenes)]
    read, problems = _read(known, chosen, config)
    counts = sorted({len(views) for _, views in read})
    many = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else "".join(map(str, counts))
    console.print(f"{options.folder}: format [bold]{known.name}[/], scenes: {len(folders)}, views each: {many or 'none'}")
    for problem in problems:
        console.print(f"[red]unusable:[/] {escape(problem)}")
    if not read:
        raise InputError(f"{options.folder}: none of the {len(chosen)} scenes that were looked at can be read")
    sphere = None if known.frames is None else _sphere(config, [views for _, views in read])
    if sphere is not None:
        center = " ".join(f"{value:.3g}" for value in sphere.center)
        console.print(f"scene sphere: center {center}, radius {sphere.radius:.3g}")
    traps = _by_mend((folder, trap) for folder, views in read for trap in find_traps(folder, views, known.frames, config, sphere))
    _print_traps(traps, len(read))
    if known.frames is not None:
        spheres = [(views, sphere or SceneTransform()) for _, views in read]
        save_image(options.output, camera_sheet(spheres))
        console.print(f"cameras and scene sphere: {options.output}")
    facts = {"format": known.name, "scenes": len(folders), "views": counts, "unusable": problems}
    write_json(options.json, {**facts, "sphere": None if sphere is None else asdict(sphere), "traps": _listed(traps)})


def _config(known: Format, folder: Path, overrides: Sequence[str]) -> tuple[SourceConfig, Format]:
    """The settings, and the format if they name another one."""
    values = apply_overrides({"source": {"name": known.name, "root": str(folder)}}, overrides)
    if set(values) != {"source"} or not isinstance(values["source"], dict):
        raise InputError("only settings of the source can be given: --source.KEY VALUE")
    name = str(values["source"]["name"])
    config = from_dict(source_config_type(name), values["source"], "source")
    for other in FORMATS:
        if other.name == name:
            return config, other
    raise InputError(f"--source.name {name}: no format of files; one of {', '.join(other.name for other in FORMATS)}")


def _read(known: Format, folders: Sequence[Path], config: SourceConfig) -> tuple[list[tuple[Path, SceneViews]], list[str]]:
    """Scenes that can be read, and what is said of those that cannot."""
    read, problems = [], []
    smaller = replace(config, image_size=config.image_size or SIZE)
    for folder in tracked(folders, "read", len(folders)):
        try:
            views = known.load(folder, config.background, smaller, None)
            read.append((folder, check_scene(views, config.min_views)))
        except SceneError as error:
            problems.append(str(error))
    return read, problems


def _sphere(config: SourceConfig, scenes: Sequence[SceneViews]) -> SceneTransform | None:
    """As training finds it; None where the cameras do not tell."""
    if config.sphere is not None:
        return config.sphere
    try:
        return shared_sphere([store_scene(views) for views in scenes])
    except InputError:
        return None


def _by_mend(found: Iterable[tuple[Path, Trap]]) -> dict[str, list[tuple[Path, Trap]]]:
    """Each trap once, with the scenes that have it."""
    by_mend: dict[str, list[tuple[Path, Trap]]] = {}
    for folder, trap in found:
        by_mend.setdefault(trap.mend, []).append((folder, trap))
    return by_mend


def _listed(traps: Mapping[str, list[tuple[Path, Trap]]]) -> list[dict[str, Any]]:
    """For --json."""
    return [
        {"what": places[0][1].what, "mend": mend, "scenes": [str(folder) for folder, _ in places]}
        for mend, places in traps.items()
    ]


def _print_traps(traps: Mapping[str, list[tuple[Path, Trap]]], count: int) -> None:
    if not traps:
        console.print("[green]no trap found[/]: compare the picture all the same")
    for mend, places in traps.items():
        where = f"{len(places)} of {count} scenes, first {places[0][0].name}" if count > 1 else places[0][0].name
        console.print(f"[yellow]trap:[/] {escape(places[0][1].what)} ({escape(where)})\n   mend: [bold]{escape(mend)}[/]")

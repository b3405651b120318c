"""From a scene's folder to its field: what tools/reconstruct.py does, for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from scenes.detect import load_scene_folder, scene_format
from scenes.source import SceneError, SourceConfig, check_scene
from scenes.traps import Trap, find_traps

from ..fields import SceneField
from ..training import Adaptation, AdaptConfig, adapt, context_views, normalized, reconstruct, store_scene
from ..types import InputError, SceneViews
from .common import open_source
from .session import Run


@dataclass(frozen=True)
class Reconstruction:
    """A scene's field and, where it was adapted to its images, the evidence."""

    field: SceneField
    adaptation: Adaptation | None = None


def open_scene(run: Run, place: Path | str, views: Sequence[int] | None = None) -> SceneViews:
    """The posed images of a scene, as `run` reads them: square, of the size that it was trained on.

    Args:
        place: folder of one scene in any known format (docs/formats.md), or the name of a scene of the run's source.
        views: numbers of the images to take; None: all.

    Raises:
        InputError: no such scene or views, unusable files, or photos without cameras for a model that needs them.
    """
    return choose_views(_load(run, str(place)), views)


def reconstruct_scene(run: Run, views: SceneViews, adapt_steps: int = 0, name: str | None = None) -> SceneField:
    """The field of a scene from its images (`open_scene`), by one forward pass.

    Args:
        adapt_steps: then better it by up to so many gradient steps on the images, as many as help views that are held out.
            The images are rendered for that, so their cameras must be known: 0 for a folder of photos alone.
        name: what the scene is called; None: as its views are.

    Raises:
        InputError: a negative number of steps, or a run whose scene sphere is not known.
    """
    return reconstruction(run, views, adapt_steps, name).field


def reconstruction(
    run: Run, views: SceneViews, adapt_steps: int = 0, name: str | None = None,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Reconstruction:  # fmt: skip
    """As `reconstruct_scene`, with the evidence. `on_step` is told (steps done, steps in all) of the adaptation."""
    if adapt_steps < 0:
        raise InputError(f"--adapt {adapt_steps}: give a number of steps, at least 0")
    (scene,) = normalized([store_scene(views)], run.transform)
    every = range(len(scene))
    result = adapt(run.generator, context_views([scene], every), AdaptConfig(adapt_steps), on_step) if adapt_steps else None
    weights = reconstruct(run.generator, scene, every) if result is None else result.weights
    return Reconstruction(run.scene_field(name or views.scene_id, weights, scene.cameras), result)


def traps_in(run: Run, folder: Path, views: SceneViews) -> list[Trap]:
    """What would spoil the reconstruction of a folder without failing, as tools/check_scenes.py finds it.

    Args:
        views: all that `open_scene` gives of the folder; fewer than `source.min_views` tell nothing.
    """
    known = scene_format(folder)
    if known is None or len(views) < run.source.min_views:
        return []
    try:
        return find_traps(folder, views, known.frames, _sized(run), run.transform)
    except InputError:  # the scene can be read, and that is what was asked for
        return []


def require_cameras(run: Run, folder: Path, adapt_steps: int = 0) -> None:
    """Raises `InputError` for photos without cameras, where something is asked of them that needs cameras."""
    known = scene_format(folder) if folder.is_dir() else None
    if known is None or known.name != "images":
        return
    if run.experiment.encoder.image.rays:
        raise InputError(
            f"{folder}: photos without cameras, and the model of this run needs cameras: find them with COLMAP, or train one "
            "that does without (configs/pose_free.yaml)"
        )
    if adapt_steps:
        raise InputError(f"{folder}: photos without cameras cannot be rendered to be compared with: leave out --adapt")


def _load(run: Run, name: str) -> SceneViews:
    if Path(name).exists():
        require_cameras(run, Path(name))
        return _load_folder(run, Path(name))
    source = open_source(run.source)
    if any(name in source.scene_ids(split) for split in ("train", "val", "test")):
        return check_scene(source.load(name))
    raise InputError(f"{name}: no such folder, and no scene of the run's source {run.source.name!r} has this name: check --scene")


def _load_folder(run: Run, folder: Path) -> SceneViews:
    """A scene of the user's own."""
    reading = _sized(run)
    try:
        return check_scene(load_scene_folder(folder, run.source.background, reading))
    except SceneError as error:
        raise SceneError(f"{error}{_why(run, folder, replace(reading, square='crop'))}") from None


def _why(run: Run, folder: Path, plain: SourceConfig) -> str:
    """What is wrong with a scene that cannot be read as asked for but can be `plain`: wrong cameras frame nothing."""
    known = scene_format(folder)
    try:
        views = check_scene(load_scene_folder(folder, run.source.background, plain))
        traps = find_traps(folder, views, known.frames, plain, run.transform) if known is not None else []
    except InputError:
        return ""
    return f": {traps[-1].what}: {traps[-1].mend}" if traps else ""


def _sized(run: Run) -> SourceConfig:
    """The run's source; its images brought to the size that the run was trained on unless it says another."""
    height, width = run.mean_image.shape[:2]
    shared = {item.name: getattr(run.source, item.name) for item in fields(SourceConfig)}
    if run.source.image_size is None and height == width:
        shared["image_size"] = height
    return SourceConfig(**shared)


def choose_views(views: SceneViews, numbers: Sequence[int] | None) -> SceneViews:
    """Those of these numbers; None: all. Raises `InputError` for numbers that are none, or views that show nothing."""
    if numbers is None:
        return views
    wrong = [number for number in numbers if not 0 <= number < len(views)]
    if wrong:
        raise InputError(f"--views {wrong[0]}: {views.scene_id} has views 0 to {len(views) - 1}")
    if len(set(numbers)) < len(numbers):
        raise InputError("--views names a view twice: give each once")
    chosen = views[list(numbers)]
    if bool(((chosen.images - chosen.background).abs().amax(-1) < 2 / 255).all()):
        raise SceneError(f"{views.scene_id}: the chosen views show nothing but the background: choose other --views")
    return chosen

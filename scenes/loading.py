"""Loading whole splits: in parallel, each scene checked once, unusable ones named and skipped up to a cap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from hypernerf.types import InputError, SceneViews

from .source import SceneError, SceneSource, SourceConfig, Split, check_scene


def load_split(
    source: SceneSource,
    config: SourceConfig,
    split: Split,
    *,
    limit: int | None = None,
    on_problem: Callable[[str], None] = print,
    workers: int = 4,
) -> Iterator[SceneViews]:
    """The usable scenes of a split, in order.

    Raises:
        InputError: more than `config.max_bad_scenes` scenes are unusable (each was reported to `on_problem`), none is
            usable, or scenes differ in image size.
    """
    names = source.scene_ids(split)[:limit]
    bad, size = 0, None
    with ThreadPoolExecutor(workers) as pool:
        for name, result in zip(names, pool.map(lambda n: _load_or_error(source, config, n), names), strict=True):
            if isinstance(result, SceneError):
                bad += 1
                on_problem(f"skipped: {result}")
                if bad > config.max_bad_scenes:
                    pool.shutdown(cancel_futures=True)
                    raise InputError(
                        f"{bad} unusable scenes in split {split!r}, the last: {result}: mend them, or raise source.max_bad_scenes"
                    )
                continue
            here = (result.cameras.height, result.cameras.width)
            size = size or here
            if here != size:
                raise InputError(f"{name}: images of {here[0]}x{here[1]} among scenes of {size[0]}x{size[1]}: use one size")
            yield result
    if size is None:
        raise InputError(f"no usable scene in split {split!r} of source {config.name!r}: check source.root")


def _load_or_error(source: SceneSource, config: SourceConfig, name: str) -> SceneViews | SceneError:
    try:
        return check_scene(source.load(name), config.min_views)
    except SceneError as error:
        return error

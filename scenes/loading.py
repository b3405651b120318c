"""Loading whole splits: in parallel, each scene checked once, unusable ones named and skipped up to a cap."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from hypernerf.types import InputError, SceneViews

from .source import SceneError, SceneSource, SourceConfig, Split, check_scene

SHARE = 8  # scenes that a process loads at a time; a split that is no larger is loaded here


def load_split(
    source: SceneSource,
    config: SourceConfig,
    split: Split,
    *,
    on_problem: Callable[[str], None] = print,
    workers: int | None = None,
) -> Iterator[SceneViews]:
    """The usable scenes of a split, in order, loaded by `workers` processes (default: one a core).

    Raises:
        InputError: more than `config.max_bad_scenes` scenes are unusable (each was reported to `on_problem`), none is
            usable, or scenes differ in image size.
    """
    names = source.scene_ids(split)
    bad, size = 0, None
    for name, result in zip(names, _results(source, config, names, workers or cores()), strict=True):
        if isinstance(result, SceneError):
            bad += 1
            on_problem(f"skipped: {result}")
            if bad > config.max_bad_scenes:
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
        mend = "check source.root" if names else "train on a folder of many scenes (one alone is for tools/reconstruct.py)"
        raise InputError(f"{config.root or config.name}: no usable scene in split {split!r}: {mend}")


def _results(source: SceneSource, config: SourceConfig, names: Sequence[str], workers: int) -> Iterator[SceneViews | SceneError]:
    if workers == 1 or len(names) <= SHARE:
        for name in names:
            yield _load_or_error(source, config, name)
        return
    with scene_workers(workers, config.root or config.name) as pool:
        shares = [names[i : i + SHARE] for i in range(0, len(names), SHARE)]
        waiting = [pool.submit(_load_share, source, config, share) for share in shares]
        for number, future in enumerate(waiting):
            yield from pickle.loads(future.result())
            waiting[number] = None  # type: ignore[call-overload]  # what was handed on need not be kept


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def scene_workers(count: int, what: str) -> Iterator[ProcessPoolExecutor]:
    """Processes that work on scenes for this one; what they have not begun when it leaves is never begun.

    Raises:
        InputError: one of them was killed, in the midst of `what`.
    """
    # forked where that exists: it starts at once, and a script needs no __main__ guard
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else None)
    pool = ProcessPoolExecutor(count, context, initializer=_start_worker)
    try:
        yield pool
    except BrokenProcessPool:
        raise InputError(f"{what}: a process that worked on its scenes was killed, for want of memory?") from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _start_worker() -> None:
    torch.set_num_threads(1)
    threadpool_limits(1)  # NumPy's matrix products would each use all cores
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends the work
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not what the main process does then
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's processes wait for work forever, also when the main process was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _load_share(source: SceneSource, config: SourceConfig, names: Sequence[str]) -> bytes:
    """Pickled here, so that tensors travel as plain bytes and not as open files."""
    return pickle.dumps([_load_or_error(source, config, name) for name in names])


def _load_or_error(source: SceneSource, config: SourceConfig, name: str) -> SceneViews | SceneError:
    try:
        return check_scene(source.load(name), config.min_views)
    except SceneError as error:
        return error

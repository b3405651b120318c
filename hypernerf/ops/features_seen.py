"""Features of all views of a scene, taken together, at points of space."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ..geometry import project
from ..types import Cameras
from . import _cpu_seen
from .backends import fits_kernels, is_compiled
from .colors_seen import sample_images


def features_seen(
    maps: Float[Tensor, "scene view channel rows columns"],
    cameras: Cameras,
    points: Float[Tensor, "place 3"],
    shift: tuple[float, float] = (0.0, 0.0),
    backend: str = "auto",
) -> tuple[Float[Tensor, "scene channel place"], Float[Tensor, "scene channel place"]]:
    """The mean and the maximum over views of what their feature maps hold where each point projects to.

    Maps are read bilinearly, with 0 outside. Views that are equally the largest share the maximum's gradient.

    Args:
        maps: float32 of 16, 32, 48 or 64 channels, else the reference does the work; so it does where points or cameras ask for
            a gradient.
        cameras: [scene, view].
        shift: of the places that are read, across and down, as shares of a map.
        backend: `torch` is the reference, which writes down each view's features; on a CPU `cpu` keeps a few places' at a time.

    Raises:
        InputError: unknown backend, or one that cannot run here.
    """
    compiled = is_compiled(backend, points.device) and fits_kernels(maps, points)
    learned = any(t.requires_grad for t in (points, cameras.camera_to_world, cameras.intrinsics))
    if compiled and not learned and _cpu_seen.takes(maps.shape[2]) and len(points):
        return _cpu_seen.features_seen(maps, cameras, points, shift)
    each = sampled_features(maps, cameras, points, shift)
    return each.mean(1), each.amax(1)


def sampled_features(
    maps: Float[Tensor, "scene view channel rows columns"],
    cameras: Cameras,
    points: Float[Tensor, "place 3"],
    shift: tuple[float, float] = (0.0, 0.0),
) -> Float[Tensor, "scene view channel place"]:
    """View by view."""
    where = project(points, cameras).flatten(0, 1)
    return sample_images(maps.flatten(0, 1), where + where.new_tensor(shift)).unflatten(0, maps.shape[:2])

"""What all views of a scene, taken together, show at points of space: data for the networks to read, without a gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry import project
from ..types import ContextViews
from . import _cpu_seen
from .backends import fits_kernels, is_compiled

COLORS = _cpu_seen.COLORS  # mean color, its deviation, the least foreground, share of views that look
LEAST = 6  # which of them is the least foreground: -1 where a view shows background, 0 where none does
FOREGROUND = 0.1  # difference from the background at which a color certainly is not it


@dataclass(frozen=True)
class Looks:
    """What each view shows at points: colors in -1..1, foreground - 1, both 0 outside of the image, and what is inside of it."""

    colors: Float[Tensor, "scene view 3 place"]
    foreground: Float[Tensor, "scene view 1 place"]
    inside: Float[Tensor, "scene view place"]


@torch.no_grad()
def colors_seen(
    context: ContextViews, points: Float[Tensor, "place 3"], backend: str = "auto"
) -> Float[Tensor, "scene place color"]:
    """Mean over views of colors in -1..1, their deviation, the least foreground - 1, and the share of views that look.

    A view shows a point where it projects to, bilinearly, whatever may stand before it; outside of an image all is 0, which
    objects to nothing. The deviation is sqrt(mean squared distance from the mean + 1e-6).

    Args:
        context: float32, else the reference does the work.
        backend: `torch` is the reference, which writes down what each view shows; on a CPU `cpu` keeps a few places' at a time.

    Raises:
        InputError: unknown backend, or one that cannot run here.
    """
    if is_compiled(backend, points.device) and fits_kernels(context.images, points):
        return _cpu_seen.colors_seen(_shown(context), context.cameras, points)
    each = looks(context, points)
    mean = each.colors.mean(1)
    squares = (each.colors - mean[:, None]).square().mean(1)
    return summary(mean, squares, each.foreground.amin(1), each.inside.mean(1))


@torch.no_grad()
def looks(context: ContextViews, points: Float[Tensor, "place 3"]) -> Looks:
    """View by view."""
    where = project(points, context.cameras).flatten(0, 1)
    images = _shown(context).flatten(0, 1).permute(0, 3, 1, 2)
    values = sample_images(images, where).unflatten(0, context.images.shape[:2])
    inside = ((where > 0) & (where < 1)).all(-1).to(values.dtype).unflatten(0, context.images.shape[:2])
    return Looks(values[:, :, :3], values[:, :, 3:], inside)


def summary(
    mean: Float[Tensor, "scene 3 place"],
    squares: Float[Tensor, "scene 3 place"],
    least: Float[Tensor, "scene 1 place"],
    inside: Float[Tensor, "scene place"],
) -> Float[Tensor, "scene place color"]:
    """All views' mean color and mean squared distance from it, least foreground and share of views, as readers take them."""
    return torch.cat([mean, (squares + 1e-6).sqrt(), least, inside[:, None]], dim=1).transpose(1, 2).contiguous()


def sample_images(
    images: Float[Tensor, "image channel rows columns"], where: Float[Tensor, "image point 2"]
) -> Float[Tensor, "image channel point"]:
    """Bilinear values at shares of width and height; 0 outside."""
    return torch.nn.functional.grid_sample(images, (where * 2 - 1)[:, None], padding_mode="zeros", align_corners=False)[:, :, 0]


def _shown(context: ContextViews) -> Float[Tensor, "scene view rows columns 4"]:
    """Colors in -1..1, and foreground - 1: how far a color is from the background's, at most `FOREGROUND`, as a share of that."""
    distance = (context.images - context.background[:, None, None, None]).abs().amax(-1, keepdim=True)
    return torch.cat([context.images * 2 - 1, (distance / FOREGROUND).clamp_max(1) - 1], dim=-1)

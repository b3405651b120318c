"""From one scene to another, in the space of codes and in the space of weights, and how valid what lies between is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hypernerf.cli.session import Run
from hypernerf.fields import FieldWeights
from hypernerf.geometry import orbit_cameras
from hypernerf.models import Generator, Lifted, SceneCode
from hypernerf.rendering import RenderSettings, render_views
from hypernerf.training import StoredScene, context_views
from hypernerf.types import Cameras, RenderOutput

from .output import Cell

SIZE, STEPS = 96, 9  # pixels of a view; fields along the way, both ends among them


def codes_between(first: SceneCode, second: SceneCode, share: float) -> SceneCode:
    """(1 - share) first + share second, of the latents and of what was lifted."""
    lifted = None
    if first.lifted is not None and second.lifted is not None:
        volumes = zip((first.lifted.learned, first.lifted.seen), (second.lifted.learned, second.lifted.seen), strict=True)
        lifted = Lifted(*(torch.lerp(a, b, share) for a, b in volumes))
    return SceneCode(torch.lerp(first.latent, second.latent, share), lifted)


@torch.no_grad()
def ways(generator: Generator, scenes: Sequence[StoredScene], views: Sequence[int], steps: int) -> dict[str, list[FieldWeights]]:
    """Space -> fields from the first scene to the second; both spaces have the same ends."""
    first, second = (generator.encode(context_views([scene], views)) for scene in scenes)
    shares = [i / (steps - 1) for i in range(steps)]
    ends = [generator.generate(code).rounded() for code in (first, second)]
    blend = lambda share: {name: torch.lerp(value, ends[1].tensors[name], share) for name, value in ends[0].tensors.items()}
    return {
        "code": [generator.generate(codes_between(first, second, share)).rounded() for share in shares],
        "weights": [FieldWeights(ends[0].spec, blend(share)) for share in shares],
    }


def softness(view: RenderOutput) -> float:
    """Mean of 4 O (1 - O) over pixels that are not empty (O > 0.05): 0 for sharp silhouettes, 1 for what is half seen through."""
    opacity = view.opacity[view.opacity > 0.05]
    return float((4 * opacity * (1 - opacity)).mean()) if len(opacity) else 0.0


def nearness(images: Float[Tensor, "view h w 3"], known: Float[Tensor, "scene view h w 3"]) -> float:
    """PSNR (dB) to the nearest of the known scenes, seen from the same places: how much it looks like one of them."""
    error = (known - images).square().flatten(1).mean(1)
    return float(-10 * torch.log10(error.min().clamp_min(1e-10)))


def around(scene: StoredScene, up: Tensor, count: int, size: int) -> Cameras:
    """Cameras on a circle, as far away as the scene's own."""
    focal = float(scene.cameras.intrinsics[:, 0].mean()) / scene.cameras.width
    degrees = float(torch.rad2deg(2 * torch.atan(torch.tensor(0.5 / focal))))
    distance = float(scene.cameras.positions.norm(dim=-1).mean())
    return orbit_cameras(
        count, distance=distance, elevation_degrees=25.0, size=(size, size), field_of_view_degrees=degrees, up=up
    )  # fmt: skip


def interpolation_rows(
    run: Run, pairs: Sequence[Sequence[StoredScene]], training: Sequence[StoredScene], views: Sequence[int]
) -> list[dict[str, Cell]]:
    """A row a space: softness and nearness at the ends and in the middle, means over pairs of scenes."""
    settings, up = RenderSettings(samples=32, grid=40), torch.tensor(run.source.up or (0.0, 0.0, 1.0))
    cameras = around(training[0], up, 3, 32)
    see = lambda weights: render_views(weights, cameras, training[0].background, settings)
    with torch.no_grad():
        known = torch.stack([see(run.generator(context_views([scene], views)).rounded()).color for scene in training])
    sums: dict[str, list[list[float]]] = {}
    for pair in pairs:
        for space, fields in ways(run.generator, pair, views, 5).items():
            seen = [see(field) for field in fields]
            ends, middle = (seen[0], seen[-1]), seen[1:-1]
            scores = [
                [measure(v) for v in part]
                for part in (ends, middle)
                for measure in (softness, lambda v: nearness(v.color, known))
            ]
            sums.setdefault(space, []).append([sum(values) / len(values) for values in scores])
    rows = []
    for space, values in sums.items():
        ends_soft, ends_near, soft, near = torch.tensor(values).mean(0).tolist()
        rows.append({
            "between": space, "softness at the ends": ends_soft, "on the way": soft, "dB to the nearest, ends": ends_near,
            "dB, on the way": near,
        })  # fmt: skip
    return rows

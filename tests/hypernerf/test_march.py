"""Points on rays where a grid is not empty, against a loop over rays, bins and samples in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernerf.ops import march
from hypernerf.types import RayBundle

TOLERANCE = 2e-5  # of distances up to 4
NEAR = 1e-4  # in cells: nearer to the next one, rounding says in which a point is


def by_loops(rays, cells, samples, jitter, bins):
    """Distances, lengths, and how near a ray's bins come to where rounding would decide. A distance is not a number where it
    would: at the end of a full bin, which is at the start of the next."""
    scenes, count, _ = rays.origins.shape
    size = cells.shape[-1]
    distances = torch.zeros(scenes, count, samples, dtype=torch.float64)
    lengths, margin = torch.zeros(scenes, count).double(), torch.full((scenes, count), math.inf).double()
    for s in range(scenes):
        grid = cells[s if len(cells) > 1 else 0]
        for r in range(count):
            o, d = rays.origins[s, r].double(), rays.directions[s, r].double()
            along = float(o @ d)
            chord = 1 - float((o - along * d) @ (o - along * d))
            margin[s, r] = abs(chord)
            half = math.sqrt(max(chord, 0))
            near = max(-along - half, 0.0)
            width = (max(-along + half, near) - near) / bins
            full = []
            for b in range(bins):
                place = ((o + (near + width * (b + 0.5)) * d) + 1) / 2 * size
                inner = place.clamp(0, size - 1e-9)
                edge = (place - place.round()).abs()[(place.round() > 0) & (place.round() < size)]
                margin[s, r] = min(margin[s, r], float(edge.min()) if len(edge) else math.inf)
                x, y, z = (int(v) for v in inner)
                if width > 0 and grid[z, y, x]:
                    full.append(b)
            lengths[s, r] = len(full) * width / samples
            for i in range(samples):
                at = (i + (0.5 if jitter is None else float(jitter[s, r, i]))) / samples * len(full)
                if full:
                    unsure = abs(at - round(at)) < 1e-3 and round(at) > 0
                    distances[s, r, i] = math.nan if unsure else near + width * (full[int(at)] + at - int(at))
    return distances, lengths, margin


def example(scenes, grids, count, size, seed, share=0.4):
    """Rays from in and around the sphere, some of which miss it or lead away."""
    generator = torch.Generator().manual_seed(seed)
    origins = 1.5 * torch.randn(scenes, count, 3, generator=generator)
    aims = 0.8 * torch.randn(scenes, count, 3, generator=generator) - origins
    rays = RayBundle(origins, torch.nn.functional.normalize(aims, dim=-1))
    return rays, torch.rand(grids, size, size, size, generator=generator) < share


@pytest.mark.parametrize("backend", ["torch", "cpu"])
@given(
    scenes=st.integers(1, 3), one_grid=st.booleans(), count=st.integers(1, 30), size=st.integers(1, 9), samples=st.integers(1, 9),
    bins=st.sampled_from([1, 5, 16, 48]), jittered=st.booleans(), seed=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_points_and_lengths_are_those_of_loops(backend, scenes, one_grid, count, size, samples, bins, jittered, seed):
    rays, cells = example(scenes, 1 if one_grid else scenes, count, size, seed)
    jitter = torch.rand(scenes, count, samples, generator=torch.Generator().manual_seed(seed)) * 0.999 if jittered else None
    distances, lengths, margin = by_loops(rays, cells, samples, jitter, bins)
    found = march(rays, cells, samples, jitter, bins, backend)
    assert found.distances.shape == found.lengths.shape == (scenes, count, samples) and found.distances.isfinite().all()
    sure = margin > NEAR
    assert ((found.lengths[..., 0].double() - lengths).abs() <= TOLERANCE)[sure].all()
    assert torch.equal(found.lengths, found.lengths[..., :1].expand_as(found.lengths))
    right = distances[sure & (lengths > 0)]
    error = (found.distances.double()[sure & (lengths > 0)] - right).abs()[right.isfinite()]
    assert (error <= TOLERANCE).all()


def test_both_backends_give_the_same_points_of_views():
    """As many rays as a view has, so that all threads take part."""
    rays, cells = example(2, 2, 6000, 32, 0)
    (one, other) = (march(rays, cells, 12, backend=name) for name in ("torch", "cpu"))
    alike = (one.lengths - other.lengths).abs().amax(-1) < 1e-6
    assert alike.float().mean() > 0.999  # the rest has a bin whose middle is where cells meet
    assert ((one.distances - other.distances).abs()[alike & (one.lengths[..., 0] > 0)] < 1e-4).float().mean() > 0.999


def test_numbers_that_are_none_reach_no_cell_that_is_not_there():
    rays, cells = example(1, 1, 4, 3, 0, share=2.0)
    rays.origins[0, 0] = math.nan
    rays.directions[0, 1] = math.nan
    rays.origins[0, 2] = 1e30
    found = march(rays, cells, 3, backend="cpu")
    assert not found.lengths[0, 2].any()


def test_what_does_not_fit_is_refused_and_many_bins_are_left_to_the_reference():
    rays, cells = example(2, 2, 4, 3, 0)
    with pytest.raises(ValueError, match="do not fit together"):
        march(RayBundle(rays.origins[:1], rays.directions), cells, 3, backend="cpu")
    with pytest.raises(ValueError, match="do not fit together"):
        march(rays, cells[:, :2], 3, backend="cpu")
    for wrong in (cells.float(), cells[:, :0, :0, :0], cells.to("meta")):
        with pytest.raises(ValueError, match="do not fit together"):
            march(rays, wrong, 3, backend="cpu")
    jitter = torch.rand(2, 4, 3)
    one, other = (march(rays, cells, 3, given, backend="cpu").distances for given in (jitter, jitter.double()))
    assert torch.equal(one, other)
    assert torch.equal(
        march(rays, cells, 3, bins=300, backend="cpu").distances, march(rays, cells, 3, bins=300, backend="torch").distances
    )


@pytest.mark.parametrize("at", [-3.0, -2e6, 5.0, math.nan])
def test_jitter_beyond_its_range_reads_no_bin_that_is_not_there(at):
    rays, cells = example(1, 1, 4, 3, 0, share=2.0)
    found = march(rays, cells, 3, torch.full((1, 4, 3), at), backend="cpu")
    assert found.distances.shape == (1, 4, 3) and (math.isnan(at) or found.distances.isfinite().all())


def test_where_to_ask_has_no_gradient():
    rays, cells = example(1, 1, 4, 3, 0)
    rays.origins.requires_grad_()
    assert not any(march(rays, cells, 3, backend=name).distances.requires_grad for name in ("torch", "cpu"))

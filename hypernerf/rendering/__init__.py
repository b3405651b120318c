"""From field weights and rays to pixels."""

from .occupancy import OccupancyGrid, UnionOccupancy, scene_occupancy
from .renderer import RenderSettings, render_rays, render_views
from .samplers import sample_occupied
from .scene_views import render_scene, scene_orbit

__all__ = [
    "OccupancyGrid", "RenderSettings", "UnionOccupancy", "render_rays", "render_scene", "render_views", "sample_occupied",
    "scene_occupancy", "scene_orbit",
]  # fmt: skip

"""Pure functions on cameras, rays and rigid transforms."""

from .cameras import look_at, orbit_cameras, project, projections
from .grids import cell_points
from .mirror import mirrored_cameras, mirrored_views
from .rays import camera_rays, intersect_sphere, ray_points
from .transforms import estimate_scene_sphere, from_opengl, is_rigid, nearest_point, normalize_cameras, to_opengl

__all__ = [
    "camera_rays", "cell_points", "estimate_scene_sphere", "from_opengl", "intersect_sphere", "is_rigid", "look_at",
    "mirrored_cameras", "mirrored_views", "nearest_point", "normalize_cameras", "orbit_cameras", "project", "projections",
    "ray_points", "to_opengl",
]  # fmt: skip

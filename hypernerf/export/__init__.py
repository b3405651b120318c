"""From field weights to what people keep: meshes, videos, comparison sheets."""

from .mesh import ExtractedMesh, extract_mesh, save_mesh, silhouette_agreement
from .sheet import Row, comparison_sheet, save_image
from .video import save_frames

__all__ = [
    "ExtractedMesh", "Row", "comparison_sheet", "extract_mesh", "save_frames", "save_image", "save_mesh",
    "silhouette_agreement",
]  # fmt: skip

"""From field weights to what people keep: meshes, videos, comparison sheets."""

from .decimate import decimated
from .mesh import ExtractedMesh, extract_mesh, save_mesh, silhouette_agreement
from .mesh_check import mesh_psnr
from .placement import Placement, moved
from .sheet import Row, comparison_sheet, save_image, to_bytes
from .texture import texture_mesh
from .textured_mesh import TexturedMesh, save_textured_mesh
from .video import save_frames
from .web import write_web_page
from .write_mesh import MeshSettings, WrittenMesh, check_mesh_format, write_mesh

__all__ = [
    "ExtractedMesh", "MeshSettings", "Placement", "Row", "TexturedMesh", "WrittenMesh", "check_mesh_format", "comparison_sheet",
    "decimated", "extract_mesh", "mesh_psnr", "moved", "save_frames", "save_image", "save_mesh", "save_textured_mesh",
    "silhouette_agreement", "texture_mesh", "to_bytes", "write_mesh", "write_web_page",
]  # fmt: skip

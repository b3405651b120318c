"""A mesh whose colors lie in a picture, and its files: GLB with one material, or OBJ beside MTL and PNG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trimesh
from jaxtyping import Float, Int, UInt8
from numpy import ndarray as Array
from PIL import Image

from ..files import write_atomically
from ..types import InputError

TEXTURED_FORMATS = (".glb", ".obj")


@dataclass(frozen=True)
class TexturedMesh:
    """In the user's units and axes. `uvs` in [0, 1], v upwards; `texture` from its upper edge downwards, display encoding."""

    vertices: Float[Array, "vertex 3"]
    faces: Int[Array, "face 3"]
    normals: Float[Array, "vertex 3"]
    uvs: Float[Array, "vertex 2"]
    texture: UInt8[Array, "size size 3"]


def save_textured_mesh(path: Path | str, mesh: TexturedMesh) -> None:
    """FILE.glb with everything inside, or FILE.obj beside FILE.mtl and FILE.png.

    Raises:
        InputError: another suffix, or a place that cannot be written to.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".glb":
        raw: Any = to_textured_trimesh(mesh).export(file_type="glb", tree_postprocessor=_unlit, include_normals=True)
        write_atomically(path, lambda place: place.write_bytes(raw))
    elif suffix == ".obj":
        stem = "_".join(path.stem.split())  # MTL has no way to write a space
        image = Image.fromarray(mesh.texture)
        write_atomically(path.with_name(stem + ".png"), lambda place: image.save(place, format="PNG"))
        write_atomically(path.with_name(stem + ".mtl"), lambda place: place.write_text(_mtl(stem)))
        write_atomically(path, lambda place: place.write_text(_obj(stem, mesh)))
    else:
        raise InputError(f"{path}: {suffix or 'no suffix'} holds no texture: use .glb or .obj, or leave out --texture")


def to_textured_trimesh(mesh: TexturedMesh) -> trimesh.Trimesh:
    material = trimesh.visual.material.PBRMaterial(
        name="baked", baseColorTexture=Image.fromarray(mesh.texture), metallicFactor=0.0, roughnessFactor=1.0
    )
    visual = trimesh.visual.TextureVisuals(uv=mesh.uvs, material=material)
    return trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_normals=mesh.normals, visual=visual, process=False)


def _unlit(tree: dict[str, Any]) -> None:
    """The light is in the colors already: viewers that know KHR_materials_unlit add none, others light a matte surface."""
    tree["extensionsUsed"] = ["KHR_materials_unlit"]
    for material in tree["materials"]:
        material["extensions"] = {"KHR_materials_unlit": {}}


def _mtl(stem: str) -> str:
    return f"newmtl baked\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 0\nmap_Kd {stem}.png\n"


def _obj(stem: str, mesh: TexturedMesh) -> str:
    lines = [f"mtllib {stem}.mtl"]
    lines += ["v {:.7g} {:.7g} {:.7g}".format(*vertex) for vertex in mesh.vertices.tolist()]
    lines += ["vt {:.6f} {:.6f}".format(*uv) for uv in mesh.uvs.tolist()]
    lines += ["vn {:.4f} {:.4f} {:.4f}".format(*normal) for normal in mesh.normals.tolist()]
    lines += ["usemtl baked"]
    lines += ["f " + " ".join(f"{i}/{i}/{i}" for i in face) for face in (mesh.faces + 1).tolist()]
    return "\n".join(lines) + "\n"

"""Where posed images come from: one source a file, one protocol (`source.py`)."""

from . import (  # noqa: F401  (each registers its source)
    blender,
    colmap,
    image_folder,
    learnit,
    meshes,
    nerfstudio,
    nmr,
    procedural,
    sharded,
    srn,
)
from .source import SceneError, SceneSource, SourceConfig, open_source, source_config_type, source_names

__all__ = ["SceneError", "SceneSource", "SourceConfig", "open_source", "source_config_type", "source_names"]

"""Posed views of a folder of meshes. See --help."""

from hypernerf.cli.common import run
from hypernerf.cli.render_scenes import main

if __name__ == "__main__":
    run(main)

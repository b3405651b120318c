"""Packs the scenes of any source into tar files that can be streamed. See --help."""

from hypernerf.cli.common import run
from hypernerf.cli.pack_scenes import main

if __name__ == "__main__":
    run(main)

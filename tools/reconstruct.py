"""A scene file from a few posed images. See --help."""

from hypernerf.cli.common import run
from hypernerf.cli.reconstruct import main

if __name__ == "__main__":
    run(main)

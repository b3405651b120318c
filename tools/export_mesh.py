"""A mesh of a scene file. See --help."""

from hypernerf.cli.common import run
from hypernerf.cli.export_mesh import main

if __name__ == "__main__":
    run(main)

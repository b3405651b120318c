"""Build, check and time every backend on a machine with a GPU, in one call. See --help."""

from gpu.command import main
from hypernerf.cli.common import run

if __name__ == "__main__":
    run(main)

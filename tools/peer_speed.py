"""Trans-INR's own code beside ours at equal dimensions: a training step and a picture. See --help."""

from hypernerf.cli.common import run
from peers.speed import main

if __name__ == "__main__":
    run(main)

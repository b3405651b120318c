"""Published methods on our scenes, trained as long and scored by the same code. See --help."""

from hypernerf.cli.common import run
from peers.command import main

if __name__ == "__main__":
    run(main)

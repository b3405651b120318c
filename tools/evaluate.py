"""Score a run on unseen scenes. See --help."""

from hypernerf.cli.common import run
from hypernerf.cli.evaluate import main

if __name__ == "__main__":
    run(main)

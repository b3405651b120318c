"""The whole benchmark of reconstruction quality, ours and the published methods'. See --help."""

from hypernerf.cli.common import run
from quality.command import main

if __name__ == "__main__":
    run(main)

"""Train a generator on many scenes. See --help."""

from hypernerf.cli.common import run
from hypernerf.cli.fit import main

if __name__ == "__main__":
    run(main)

"""Measures training on packed scenes: the first batch, the reading, the memory. See --help."""

from hypernerf.cli.common import run
from streams.command import main

if __name__ == "__main__":
    run(main)

"""Measure what a training step costs, with one process or several, and what that makes of many. See --help."""

from hypernerf.cli.common import run
from scale.command import main

if __name__ == "__main__":
    run(main)

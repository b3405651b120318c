"""Scenes live in a browser. See --help."""

from hypernerf.cli.common import run
from hypernerf.cli.view import main

if __name__ == "__main__":
    run(main)

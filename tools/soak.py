"""Trains for an hour and shows that neither memory nor time per step grows. See --help."""

from hypernerf.cli.common import run
from soak.command import main

if __name__ == "__main__":
    run(main)

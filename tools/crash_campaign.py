"""Kills a training again and again, and shows that nothing is lost. See --help."""

from crashes.command import main
from hypernerf.cli.common import run

if __name__ == "__main__":
    run(main)

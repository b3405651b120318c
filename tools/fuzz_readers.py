"""Damaged and malicious files, offered to every reader. See --help."""

from fuzz.command import main
from hypernerf.cli.common import run

if __name__ == "__main__":
    run(main)

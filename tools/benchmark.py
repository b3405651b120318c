"""Time every part on this machine. See --help."""

from hypernerf.cli.benchmark import main
from hypernerf.cli.common import run

if __name__ == "__main__":
    run(main)

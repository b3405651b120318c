"""Whether a collection of twice the size makes training slower or larger. See --help."""

from hypernerf.cli.common import run
from streams.doubling import main

if __name__ == "__main__":
    run(main)

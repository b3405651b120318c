"""Of a run, what others need to use it. See --help."""

from hypernerf.cli.common import run
from hypernerf.cli.export_model import main

if __name__ == "__main__":
    run(main)

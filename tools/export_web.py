"""A web page of scene files. See --help."""

from hypernerf.cli.common import run
from hypernerf.cli.export_web import main

if __name__ == "__main__":
    run(main)

"""New views of a scene file. See --help."""

from hypernerf.cli.common import run
from hypernerf.cli.render_views import main

if __name__ == "__main__":
    run(main)

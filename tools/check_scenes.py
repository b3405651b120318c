"""What a folder of scenes is, drawn, and what would go wrong with it. See --help."""

from hypernerf.cli.check_scenes import main
from hypernerf.cli.common import run

if __name__ == "__main__":
    run(main)

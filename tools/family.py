"""What a hypernetwork can be: one measured member of the family a call. See --help."""

from hypernerf.cli.common import run
from members import main

if __name__ == "__main__":
    run(main)

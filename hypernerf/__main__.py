"""`python -m hypernerf`: see `hypernerf/cli/commands.py`."""

from .cli.commands import main

if __name__ == "__main__":
    main()

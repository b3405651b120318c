"""Where posed images come from: one source a file, one protocol (`source.py`)."""

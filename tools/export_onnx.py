"""A scene file as an ONNX graph. See --help."""

from hypernerf.cli.common import run
from hypernerf.cli.export_onnx import main

if __name__ == "__main__":
    run(main)

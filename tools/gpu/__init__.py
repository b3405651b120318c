"""What `tools/gpu_check.py` does: build, check, time."""

# make demo | test | lint: each sets up .venv/ first, from nothing if need be
PYTHON ?= python3
PY := .venv/bin/python

.PHONY: setup kernels demo test lint clean
setup: .venv/done

.venv/done: pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch .venv/done

# What the GPU kernels' tests need to run under an interpreter, without a GPU. A large download, so not part of setup; not among
# the constraints, since torch for CUDA pins its own.
kernels: setup
	$(PY) -m pip install --quiet --disable-pip-version-check "triton==3.9.0"

demo: setup
	$(PY) tools/fit_scenes.py configs/quickstart.yaml --out runs/quickstart --resume
	$(PY) tools/reconstruct.py runs/quickstart --scene test-chairs-00003 --views 0 1 2 -o out/chair.field.safetensors
	$(PY) tools/render_views.py out/chair.field.safetensors --orbit 36 -o out/chair.mp4
	$(PY) tools/export_mesh.py out/chair.field.safetensors -o out/chair.glb

test: setup
	$(PY) -m pytest -q

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache *.egg-info

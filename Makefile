# make demo: a proven image on a bare machine.   make test: everything but the other real images.
# Both need Python 3.10 or later; root on Debian when there is no Docker Engine yet (scripts/engine installs one).
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):/opt/imagekit-engine/usr/bin:$(PATH)

.PHONY: demo test unit integration image acceptance lint golden system engine bench clean

demo: $(VENV)/ready system engine
	imagekit build video-llm

test: $(VENV)/dev system engine lint
	IMAGEKIT_REQUIRE_ENGINE=1 python -m pytest tests -m "not acceptance"

unit: $(VENV)/dev
	python -m pytest tests/unit

integration: $(VENV)/dev system engine
	IMAGEKIT_REQUIRE_ENGINE=1 python -m pytest tests/integration -m "not image"

acceptance: $(VENV)/dev system engine lint
	IMAGEKIT_REQUIRE_ENGINE=1 python -m pytest tests

lint: $(VENV)/dev
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-cache
	hadolint tests/golden/*/Dockerfile

golden: $(VENV)/dev
	python tests/golden/update.py

bench: $(VENV)/dev system engine
	python bench/run.py

engine: system
	scripts/engine up

# mmdebstrap makes the base image; only a machine without it and with the right to install gets it
system:
	@command -v mmdebstrap >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "error: mmdebstrap is missing; as root: apt-get install mmdebstrap" >&2; exit 4; }; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap >/dev/null; }

$(VENV)/bin/python:
	scripts/venv $(VENV)

# the data is compiled at install, so that start-up does not read YAML
$(VENV)/ready: $(VENV)/bin/python pyproject.toml $(wildcard imagekit/compat/data/*.yaml)
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/dev: $(VENV)/ready
	$(BIN)/python -m pip install -q --group dev
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/out

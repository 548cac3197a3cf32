# make demo: a proven image on a bare machine.   make test: everything but the other real images.
# Both need Python 3.10 or later; root on Debian when there is no Docker Engine yet (scripts/engine installs one).
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# a resolver that drops one of many questions at once costs a second then, and not five
export RES_OPTIONS ?= timeout:1 attempts:5
export PATH := $(CURDIR)/$(BIN):/opt/imagekit-engine/usr/bin:$(PATH)

.PHONY: demo nightly-demo test unit integration image acceptance soak lint golden system system-test engine bench clean

demo: $(VENV)/ready system engine
	imagekit build video-llm

# six real images in three nights, with a registry of its own; 30 GB of disk, and no engine
nightly-demo: $(VENV)/dev need-mmdebstrap need-openssl $(VENV)/bin/docker-registry
	$(BIN)/python scripts/nightly-demo

test: $(VENV)/dev system-test engine lint
	IMAGEKIT_REQUIRE_ENGINE=1 python -m pytest tests -m "not acceptance"

unit: $(VENV)/dev
	python -m pytest tests/unit

integration: $(VENV)/dev system-test engine
	IMAGEKIT_REQUIRE_ENGINE=1 python -m pytest tests/integration -m "not image"

# 40 GB of disk are enough: images go one by one, and the engine keeps 12 GB of its build cache
acceptance: $(VENV)/dev system-test engine lint
	IMAGEKIT_REQUIRE_ENGINE=1 IMAGEKIT_KEEP_CACHE_GB=12 python -m pytest tests

# a thousand pushes while a fifth of all requests goes wrong; a night killed at each request that changes the registry
soak: $(VENV)/dev
	IMAGEKIT_PUSHES=1000 python -m pytest tests/unit/test_oci_push.py -k many
	IMAGEKIT_KILL_STEP=1 python -m pytest tests/unit/test_nightly_killed.py

lint: $(VENV)/dev
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-cache
	hadolint tests/golden/*/Dockerfile

golden: $(VENV)/dev
	python tests/golden/update.py

bench: $(VENV)/dev system engine $(VENV)/bin/docker-registry
	python bench/run.py

engine: system
	scripts/engine up

# mmdebstrap makes the base image. Only a machine without a command and with the right to install gets its package.
system: need-mmdebstrap
# for the tests: busybox is a stand-in for a distribution without glibc, gpg signs an archive, chromium opens the pages,
# skopeo and umoci read images
system-test: need-mmdebstrap need-newuidmap need-busybox need-gpg need-openssl need-ssh need-chromium need-skopeo need-umoci need-kubectl $(VENV)/bin/docker-registry $(VENV)/bin/cosign
need-%:
	@command -v $* >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "error: $* is missing; as root: apt-get install $(or $(package-$*),$*)" >&2; exit 4; }; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(or $(package-$*),$*) >/dev/null; }
package-busybox := busybox-static
package-gpg := gnupg
package-kubectl := kubernetes-client
package-ssh := openssh-client
package-newuidmap := uidmap

# unpacked and not installed: the package would start a registry of its own
$(VENV)/bin/docker-registry: $(VENV)/dev
	@folder=$$(mktemp -d) && trap 'rm -rf $$folder' EXIT && here=$$PWD && cd $$folder && \
	  get="apt-get -qq -o APT::Sandbox::User=root download docker-registry" && \
	  { $$get 2>/dev/null || { apt-get update -qq && $$get; }; } && \
	  dpkg-deb -x docker-registry_*.deb . && install usr/bin/docker-registry $$here/$@

# Debian 13 is the first to have it; its program runs on Debian 12 as well
$(VENV)/bin/cosign: $(VENV)/dev need-mmdebstrap
	@if command -v cosign >/dev/null; then ln -sf "$$(command -v cosign)" $@; else \
	  mmdebstrap --quiet --variant=extract --include=cosign trixie - 2>/dev/null | tar x --strip-components=3 -C $(BIN) ./usr/bin/cosign && touch $@; fi

$(VENV)/bin/python:
	scripts/venv $(VENV)

# the data is compiled at install, so that start-up does not read YAML
$(VENV)/ready: $(VENV)/bin/python pyproject.toml $(wildcard imagekit/compat/data/*.yaml imagekit/diagnose/data/*.yaml)
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/dev: $(VENV)/ready
	$(BIN)/python -m pip install -q --group dev
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/out

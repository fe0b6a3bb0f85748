# Two commands: `make demo` and `make test`. Everything installs itself into .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed
APT    := libusb-1.0-0 libgl1 libgomp1 libegl1 libgl1-mesa-dri libglib2.0-0

.PHONY: demo test test-all check format bench golden clean system compose-test
.DEFAULT_GOAL := demo

demo: $(READY)
	$(BIN)/syncline demo --out out/demo --overwrite

test: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile

test-all: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile -m ''

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python -m benchmarks --json bench.json

# The containers for real, each killed once; needs Docker and Compose, and as root since it kills their processes.
compose-test:
	$(PYTHON) -m tests.compose.rehearse

golden: $(READY)
	$(BIN)/python -m tests.replay.regenerate

clean:
	rm -rf $(VENV) out runs .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The evaluation devkits pin old releases of what we already have, so they come without their dependencies; what they
# import of them is listed in the `dev` extra. They serve only the tests that hold our metrics to theirs.
$(READY): pyproject.toml constraints.txt | system
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[view,dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt nuscenes-devkit trackeval
	touch $@

# Open3D and the simulated cameras (OpenGL) need system libraries. Install them where we may, else say how.
system:
	@missing=""; \
	for library in libusb-1.0.so.0 libGL.so.1 libgomp.so.1 libEGL.so.1 libEGL_mesa.so.0 libgthread-2.0.so.0; do \
	  ldconfig -p | grep -q $$library || missing="$$missing $$library"; \
	done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing $(APT) (for$$missing)"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(APT) >/dev/null; \
	  else \
	    echo "missing system libraries:$$missing"; echo "install them with: sudo apt-get install $(APT)"; exit 1; \
	  fi; \
	fi

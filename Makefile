# Everything from a fresh clone with Python 3.11 to 3.13, git and make. `make demo` shows it, `make test` proves it.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 3000
PINNED = --constraint requirements.lock --editable '.[serve,train,track,tune,dev]'
CASES ?= 600
SIGTERMS ?= 100
STUDY = build/study_$(if $(DATA),csorf,sim)

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Nothing is reported to anybody.
export BENTOML_DO_NOT_TRACK := True
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := true
export HF_HUB_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: setup repro demo serve stop test lint nightly labelled genomes study streams bench

setup: .venv/installed                          ## the environment, in .venv

# Torch by pip, which may be set up for an index with builds of it for this machine; the rest by uv, which takes
# seconds, or by pip where uv reaches no index.
.venv/installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --constraint requirements.lock torch uv
	uv pip install --quiet --compile-bytecode --python .venv $(PINNED) || python -m pip install --quiet $(PINNED)
	touch $@

repro: setup                                    ## whatever changed and what depends on it; a species that fails stops itself
	dvc repro --keep-going

demo: repro                                     ## simulated genomes of four species, trained, gated, promoted and served
	episome promote --all
	python -m serving.demo --host $(HOST) --port $(PORT)

serve: setup                                    ## the service in the foreground, answering from the shelf
	bentoml serve serving.service:Episome --host $(HOST) --port $(PORT)

stop:                                           ## what `make demo` started
	python -m serving.demo --stop

lint: setup                                     ## style, types, layers, dependencies
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	deptry .

test: lint                                      ## lint, then every test; the torch-free core fully covered
	pytest --cov --cov-report=term

nightly: setup                                  ## what takes too long for `test`: schemathesis at length, and SIGTERM after SIGTERM
	EPISOME_CASES=$(CASES) EPISOME_SIGTERMS=$(SIGTERMS) pytest tests/serving/test_openapi.py tests/serving/test_drain.py

labelled: setup                                 ## the four real species on the labelled sets in DATA, in build/labelled
	test -d "$(DATA)" || (echo "DATA=FOLDER wanted: the folder that holds csorf_lenmatched/ and promoter300/"; exit 1)
	test -d build/labelled || git clone --quiet . build/labelled
	git -C build/labelled fetch --quiet && git -C build/labelled reset --quiet --hard origin/HEAD
	mkdir -p build/labelled/data && cp -rT --no-preserve=mode "$(DATA)" build/labelled/data/labelled
	cp examples/labelled/params.yaml build/labelled/
	cd build/labelled && PYTHONPATH=src:. dvc repro && python benchmarks/table.py

genomes: setup                                  ## five pieces of real genomes in DATA: rows, checks and cards, in build/genomes
	test -d "$(DATA)" || (echo "DATA=FOLDER wanted: the folder that holds human_chr9/ and fly_1pct/"; exit 1)
	test -d build/genomes || git clone --quiet . build/genomes
	git -C build/genomes fetch --quiet && git -C build/genomes reset --quiet --hard origin/HEAD
	mkdir -p build/genomes/data && cp -rT --no-preserve=mode "$(DATA)" build/genomes/data/genomes
	cp examples/genomes/params.yaml build/genomes/
	cd build/genomes && PYTHONPATH=src:. dvc repro check cards

study: setup                                    ## the full transfer study: simulated, in build/study_sim; with DATA, on csorf_lenmatched/, in build/study_csorf
	test -z "$(DATA)" || test -d "$(DATA)/csorf_lenmatched" || (echo "DATA=FOLDER wanted: the folder that holds csorf_lenmatched/"; exit 1)
	test -d $(STUDY) || git clone --quiet . $(STUDY)
	git -C $(STUDY) fetch --quiet && git -C $(STUDY) reset --quiet --hard origin/HEAD
	test -z "$(DATA)" || (mkdir -p $(STUDY)/data/labelled && cp -r --no-preserve=mode "$(DATA)/csorf_lenmatched" $(STUDY)/data/labelled/)
	test -z "$(DATA)" || cp examples/study_csorf/params.yaml $(STUDY)/
	cd $(STUDY) && PYTHONPATH=src:. dvc repro check base && PYTHONPATH=src:. python -m pipelines.study
	cd $(STUDY) && PYTHONPATH=src:. python -m pipelines.report reports/study_full reports/transfer_full

streams: setup                                  ## streams of retrains: what each guard and memory keeps and learns, in build/streams
	test -d "$(DATA)/promoter300" || (echo "DATA=FOLDER wanted: the folder that holds csorf_lenmatched/ and promoter300/"; exit 1)
	test -f build/streams/models/base/config.json || PYTHONPATH=src:. python benchmarks/streams_world.py $(DATA)
	PYTHONPATH=src:. python benchmarks/streams.py && PYTHONPATH=src:. python benchmarks/streams_report.py

bench: repro                                    ## how fast the bundles answer on this machine
	python benchmarks/speed.py

# A thin front to the scripts in tools/: `make help` lists what it can do.
#
# ENGINE=source builds llama.cpp here instead of taking the prebuilt libraries; CUDA=1 beside it builds for NVIDIA GPUs.
# PENSTOCK_CACHE=folder holds the engine and the model (default: penstock/ in the user's cache folder).

ENGINE ?= prebuilt
CUDA ?= 0
CONFIG ?= examples/quickstart.yaml
PREFIX ?= /usr/local
DESTDIR ?=
TESTS ?=
export ENGINE CUDA

.DEFAULT_GOAL := help
.PHONY: help setup embedding-model build run overload test install asan tsan fuzz format reference clean

help: ## list these targets
	@echo 'usage: make TARGET [ENGINE=source [CUDA=1]] [PENSTOCK_CACHE=folder]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

setup: ## install what is missing, fetch the pinned engine and model
	@tools/setup run

embedding-model: ## fetch all-minilm-l6-v2, the model for /v1/embeddings (examples/embeddings.yaml)
	@tools/setup embedding-model

build: setup ## compile, leaves build/penstock; requantizes the model once
	@tools/build build
	@tools/weights

run: build ## serve CONFIG (examples/quickstart.yaml): the first token from nothing
	@exec build/penstock serve --config $(CONFIG)

overload: build ## a real trace at four times what the machine can do, against the built-in model (a minute or two)
	@tools/overload

test: ## build and pass every suite; TESTS="unit layers" for some of them
	@tools/setup test
	@tools/test $(TESTS)

install: build ## put the program and the engine's libraries under PREFIX (/usr/local)
	@tools/install "$(DESTDIR)$(PREFIX)"

asan: setup ## compile with AddressSanitizer and UBSan, leaves build-asan/penstock
	@tools/build build-asan -Dtests=true -Dtest_hooks=true -Db_sanitize=address,undefined

tsan: setup ## compile with ThreadSanitizer, leaves build-tsan/penstock
	@tools/build build-tsan -Dtests=true -Dtest_hooks=true -Db_sanitize=thread

fuzz: ## run every fuzzer for a short while (needs clang)
	@tools/setup test
	@tools/fuzz-short

format: ## clang-format every .c, .h and .cpp file in place
	@git ls-files 'src/*.[ch]' 'src/*.cpp' 'test/*.[ch]' 'bench/*.[ch]' | xargs clang-format -i

reference: build ## write the reference pages that come from the tables
	@for page in config metrics; do build/penstock check --reference $$page > docs/$$page.md.new && mv docs/$$page.md.new docs/$$page.md; done

clean: ## remove the build folders; the cache stays
	rm -rf build build-*

# A thin front to CMake. `make run` and `make test` are all that a newcomer needs.

PORT ?= 6379
DATA ?= data
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: build run test bench install-deps fmt clean

build: install-deps
	@test -f build/build.ninja || cmake --preset release
	@cmake --build build --parallel $(JOBS)

# Serves 127.0.0.1:6379 with its data in ./data; stop it with Ctrl-C.
run: build
	@mkdir -p "$(DATA)"
	@exec build/basalt-server --bind 127.0.0.1 --port $(PORT) --dir "$(DATA)"

test: build
	@tools/run_tests.sh build

# Compares with redis-server on this machine; see the script for its settings.
bench: build
	@tools/bench/compare.sh

install-deps:
	@tools/install_deps.sh

fmt:
	@git ls-files -z '*.c' '*.h' | xargs -0 -r clang-format -i

# Removes what was built; the data stays.
clean:
	@rm -rf build build-dev build-asan build-tsan build-fuzz

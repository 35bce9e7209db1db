# SPDX-License-Identifier: MIT
# A thin front of Meson. `make help` says what there is.

MESON  := $(firstword $(wildcard /usr/bin/meson) meson)
PREFIX ?= /usr/local
PEERS  ?= yes
# How long `make fuzz` runs each program.
SECONDS ?= 60
# Names of tests, as `make test TESTS="timer-epoll time"`; all, if empty.
TESTS  ?=

peers_dir := $(CURDIR)/build/peers
setup     := $(MESON) setup -Dpeers_dir=$(peers_dir)
compile   := ninja -C
run       := $(MESON) test --no-rebuild --print-errorlogs
ifeq ($(PEERS),no)
    run      += --no-suite peers
    test_set := test
    say_peers = @echo "Left out by PEERS=no: xinetd, rdate, busybox, nginx, Apache, haproxy and lighttpd (the suite 'peers')."
else
    test_set := test peers
    say_peers = @scripts/peers $(peers_dir) && scripts/peers-http $(peers_dir)
endif

.PHONY: all demo test asan tsan coverage fuzz plant bench format lint symbols install deps clean help
.PHONY: python test-python accept-python bench-python

all: build/build.ninja
	@$(compile) build

# What a target needs in all, so that one line tells of all that is missing.
needs := build
build/build.ninja:
	@scripts/deps $(needs)
	@$(setup) build
	@ln -sfn build/compile_commands.json compile_commands.json

# A build folder that was made without what the tests need gets them here.
build/.with-tests: build/build.ninja
	@scripts/deps test $(needs)
	@$(MESON) configure build -Dtests=enabled
	@touch $@

test: needs += $(test_set)

demo: all
	@build/asyncore demo

test: build/.with-tests
	@scripts/deps $(test_set)
	$(say_peers)
	@$(compile) build
	$(run) -C build $(TESTS)

# The Python modules with their extension, for every interpreter that is found: build/python/cp3XX.
python:
	@scripts/deps python
	@scripts/pythons build/python

# Their tests, for each of these.
test-python: python
	@/usr/bin/python3 python/tests/run.py --build build/python

# CPython's own tests on these modules, lost references, type checkers, and programs of others.
accept-python:
	@scripts/deps python accept-python
	@scripts/python-others build/python-others
	@scripts/pythons build/python
	@/usr/bin/python3 python/tests/acceptance --build build/python
	@/usr/bin/python3 python/tests/run.py --build build/python --others build/python-others

# The same tests, seen by a tool. Each has a build folder of its own.

build-asan/build.ninja:
	@scripts/deps test
	@CC=gcc $(setup) build-asan -Dtests=enabled -Doptimization=1 -Db_lundef=false \
	    -Db_sanitize=address,undefined

asan: build-asan/build.ninja
	@scripts/deps $(test_set)
	$(say_peers)
	@$(compile) build-asan
	$(run) -t 3 -C build-asan $(TESTS)

build-tsan/build.ninja:
	@scripts/deps tsan
	@CC=clang $(setup) build-tsan -Dtests=enabled -Doptimization=1 -Db_lundef=false \
	    -Db_sanitize=thread

tsan: build-tsan/build.ninja
	@$(compile) build-tsan
	$(run) -t 3 -C build-tsan --suite unit $(TESTS)

build-coverage/build.ninja:
	@scripts/deps coverage
	@CC=gcc $(setup) build-coverage -Dtests=enabled -Dbuildtype=debug -Db_coverage=true

coverage: build-coverage/build.ninja
	@scripts/deps $(test_set)
	$(say_peers)
	@$(compile) build-coverage
	@find build-coverage -name '*.gcda' -delete
	$(run) -t 3 -C build-coverage $(TESTS)
	gcovr --root . --filter src/ --exclude-unreachable-branches --fail-under-line 90 \
	    --print-summary build-coverage

# The parsers under libFuzzer, SECONDS each; what is found stays in build-fuzz/.
build-fuzz/build.ninja:
	@scripts/deps test tsan
	@CC=clang $(setup) build-fuzz -Dfuzz=true -Dtests=disabled -Doptimization=1 -Db_lundef=false \
	    -Db_sanitize=address,undefined

fuzz: build-fuzz/build.ninja
	@$(compile) build-fuzz
	@scripts/fuzz build-fuzz $(SECONDS)

# Plants some forty bugs, one at a time, and sees whether the tests catch them: half an hour.
plant: build/.with-tests
	@scripts/plant

# With a folder of its own: one made before the libraries to compare with were there would go without.
build-bench/build.ninja:
	@scripts/deps bench peers
	@$(setup) build-bench

# QUICK=1: rougher, within 90 s. JSON=FILE: the figures in that file too; MARKDOWN=FILE: the tables
# into that page; PLOT=FILE: the cost over connections as SVG.
bench: build-bench/build.ninja
	@scripts/deps bench peers
	@scripts/peers-http $(peers_dir)
	$(foreach v,JSON MARKDOWN PLOT,$(if $($(v)),$(v)=$(abspath $($(v))))) $(MESON) test --benchmark --verbose -C build-bench

# asyncore for Python beside the standard library's, asyncio, uvloop and raw epoll: for the first Python
# that was found, or for those that TAGS names, as TAGS="cp310 cp312"; PARTS="idle bulk": not all of it.
bench-python: python
	@scripts/deps bench-python
	@/usr/bin/python3 bench/python/run.py build/python $(foreach t,$(TAGS),--only $(t)) $(PARTS)

format:
	@scripts/deps lint
	@scripts/lint format

lint:
	@scripts/deps lint
	@scripts/lint check

# Writes the list that the test of the exported symbols compares with.
symbols: all
	@scripts/check_symbols.py --write build/src/libasyncore.so build/src/libasyncore-http.so \
	    build/src/libasyncore-markup.so build/src/libasyncore-http.so \
	    build/src/libasyncore-markup.so

install: build/build.ninja
	@$(MESON) configure build -Dprefix=$(abspath $(PREFIX))
	@$(compile) build
	@$(MESON) install --no-rebuild -C build
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || ldconfig

deps:
	@scripts/deps build test peers tsan coverage lint bench python accept-python bench-python

clean:
	rm -rf build build-*/ compile_commands.json

help:
	@echo 'make            build into build/: the library, build/asyncore, the examples'
	@echo 'make demo       a time server and a client, here, over TCP and UDP'
	@echo 'make test       all tests, on every backend; PEERS=no: without programs of others'
	@echo 'make python     the Python modules, for each Python from 3.8 to 3.13 that is here'
	@echo 'make test-python   their tests, for each of these'
	@echo 'make accept-python   the Python modules under the tests and programs of others'
	@echo 'make asan       the tests under AddressSanitizer and UBSan'
	@echo 'make tsan       the unit tests under ThreadSanitizer'
	@echo 'make coverage   the tests, and how many lines of src/ they reach (90 % is asked)'
	@echo 'make fuzz       the parsers under libFuzzer, SECONDS=60 each'
	@echo 'make plant      plant bugs and see whether the tests catch them (half an hour)'
	@echo 'make bench      the measurements; QUICK=1: rougher, JSON=FILE: into a file too'
	@echo 'make bench-python  the Python module beside asyncio and uvloop'
	@echo 'make format     lay the sources out by clang-format'
	@echo 'make lint       clang-format, clang-tidy and the analyzer of gcc'
	@echo 'make symbols    write the list of exported symbols anew'
	@echo 'make install    into PREFIX (/usr/local), beneath DESTDIR if that is set'
	@echo 'make deps       install what any of these needs (Debian)'
	@echo 'make clean      remove all that was built'

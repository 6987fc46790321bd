# Builds, runs and checks addonfs with GNU make. `make help` lists the targets.
#
#   make run                       mount a small demo repository and look at it
#   make test                      install what is missing, build, run every test
#   make test SANITIZE=address     the same with AddressSanitizer and UBSan, in build/address/
#   make V=1                       show the compiler's command lines
#   make CFLAGS='-O0 -g'           CC, CFLAGS, CPPFLAGS and LDFLAGS are yours; ours are added to them

VERSION := 0.1.0

SANITIZE ?=
WERROR ?=
SCOPE ?= build
PYTHON ?= $(or $(wildcard /usr/bin/python3),python3)
ONLY ?= tests
PYTEST_ARGS ?=
RUNS ?= 5
TIME ?= 60
TARGET ?=
MINIMUM ?= 90
FUZZ_ARGS ?=
BENCH_ARGS ?=
BUILD ?= build$(if $(SANITIZE),/$(SANITIZE))
JOBS = $(shell nproc 2>/dev/null || echo 2)

# --- What there is: a new file needs no line here ------------------------------------------------

CORE := $(sort $(wildcard core/*.c))
FS := $(sort $(wildcard fs/*.c))
TESTS := $(sort $(wildcard tests/unit/test_*.c))
CLIS := $(sort $(wildcard tests/unit/*_cli.c))
BENCH := $(sort $(wildcard tests/bench/*.c))
FUZZ := $(sort $(wildcard tests/fuzz/fuzz_*.c))
# Feeds the kept inputs where libFuzzer does not.
REPLAY := $(if $(filter fuzzer,$(SANITIZE)),,tests/fuzz/replay.c)
# What several unit tests share is linked with each of them.
SHARED := $(filter-out $(TESTS) $(CLIS),$(sort $(wildcard tests/unit/*.c)))
FIXTURES := $(sort $(wildcard tests/fixtures/*.c))
# MEMCHECK=1: tests in Python run the program under valgrind, with the system calls that it lacks.
MEMCHECK ?=
# A disk that fails and a clock that is set, preloaded into the daemon.
PRELOADED := $(patsubst %,$(BUILD)/tests/%.so,faults clock $(if $(MEMCHECK),memcheck))
# What is known of libraries' own faults, told to the sanitizers; or what coverage needs.
KNOWN := $(if $(SANITIZE),tests/fixtures/$(if $(filter coverage,$(SANITIZE)),coverage,sanitizers).c)
C_FILES := $(sort $(wildcard $(foreach folder,core fs include/addonfs tests/*,$(folder)/*.[ch])))

comma := ,
define newline


endef
object = $(1:%.c=$(BUILD)/obj/%.o)

LIBRARY := $(BUILD)/libaddonfs.a
PROGRAM := $(BUILD)/addonfs
TEST_PROGRAMS := $(TESTS:tests/unit/%.c=$(BUILD)/tests/%)
CLI_PROGRAMS := $(CLIS:tests/unit/%.c=$(BUILD)/tests/%)
BENCH_PROGRAMS := $(BENCH:tests/bench/%.c=$(BUILD)/bench/%)
FUZZ_PROGRAMS := $(FUZZ:tests/fuzz/%.c=$(BUILD)/fuzz/%)

# --- Flags ---------------------------------------------------------------------------------------

CFLAGS ?= $(if $(filter coverage,$(SANITIZE)),-O0,-O2) -g
CPPFLAGS ?=
LDFLAGS ?=

CORE_PACKAGES := libgit2 libarchive libcjson libdeflate zlib libcrypto sqlite3
FS_PACKAGES := fuse3
TEST_PACKAGES := cmocka libarchive

# $(call pkg-config,OPTION,PACKAGES). Silent, because `make help` and `make deps` need no package; the
# rule for $(BUILD)/flags complains. Headers of others are system headers: our warnings are about our code.
pkg-config = $(patsubst -I%,-isystem %,$(shell pkg-config $(1) $(2) 2>/dev/null))

WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
    -Wold-style-definition -Wformat=2 -Wundef -Wvla -Wpointer-arith -Wwrite-strings -Wcast-align \
    -Wredundant-decls -Wnested-externs -Wimplicit-fallthrough -Wdouble-promotion \
    -Wdate-time $(if $(WERROR),-Werror)

ifeq ($(SANITIZE),address)
SANITIZER := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
else ifeq ($(SANITIZE),thread)
SANITIZER := -fsanitize=thread -fno-omit-frame-pointer
else ifeq ($(SANITIZE),fuzzer)
CC := clang
SANITIZER := -fsanitize=fuzzer-no-link,address,undefined -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION -fno-sanitize-recover=undefined -fno-omit-frame-pointer
else ifeq ($(SANITIZE),coverage)
SANITIZER := --coverage -fprofile-update=atomic -fprofile-abs-path -Wl,--wrap=_exit,--wrap=raise
else ifneq ($(SANITIZE),)
$(error SANITIZE is "address", "thread", "fuzzer", "coverage" or nothing, not "$(SANITIZE)")
endif

# _FORTIFY_SOURCE warns where nothing is optimised, and hides what a sanitizer would find.
OPTIMISES := $(filter-out -O0,$(lastword $(filter -O%,$(CFLAGS))))
FORTIFIED := $(SANITIZE)$(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS))
HARDENING := -fstack-protector-strong -fPIE \
    $(if $(OPTIMISES),$(if $(FORTIFIED),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2))

ALL_CPPFLAGS := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DADDONFS_VERSION=\"$(VERSION)\" -Iinclude \
    $(CPPFLAGS)
ALL_CFLAGS := -std=c17 -pthread $(WARNINGS) $(HARDENING) $(CFLAGS) $(SANITIZER)
ALL_LDFLAGS := -pthread -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS) $(SANITIZER)

# Private headers belong to their folder; unit tests may look at those of core.
core_FLAGS := -Icore $(call pkg-config,--cflags,$(CORE_PACKAGES))
fs_FLAGS := -Ifs $(call pkg-config,--cflags,$(FS_PACKAGES))
tests_FLAGS := -Icore $(call pkg-config,--cflags,$(CORE_PACKAGES) $(TEST_PACKAGES) $(FS_PACKAGES))

CORE_LIBS := $(call pkg-config,--libs,$(CORE_PACKAGES)) -lm
FS_LIBS := $(call pkg-config,--libs,$(FS_PACKAGES))
TEST_LIBS := $(call pkg-config,--libs,$(TEST_PACKAGES))

# $(call compile,FOLDER) and $(call link,LIBRARIES)
compile = $(CC) $(ALL_CPPFLAGS) $($(1)_FLAGS) $(ALL_CFLAGS)
link = $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(1) $(CORE_LIBS)

# --- Build ---------------------------------------------------------------------------------------

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all deps run test install uninstall deb test-install test-thread bench soak soak-memory check check-unit check-python lint format clean help \
    compile_commands FORCE

all: $(PROGRAM) ## build build/addonfs (SANITIZE=address: build/address/addonfs)

quiet = $(if $(V),,@echo '  $(1) $(2)' &&)

# A stamp is written again only when its text changes. What depends on it is then made again: objects
# when flags change, the library when a source file has gone.
stamp = @mkdir -p $(@D); printf '%s\n' "$$STAMP" | cmp -s - $@ || printf '%s\n' "$$STAMP" >$@

$(BUILD)/flags: export STAMP = $(foreach folder,core fs tests,$(call compile,$(folder))) $(ALL_LDFLAGS)
$(BUILD)/flags: FORCE
	@pkg-config --exists --print-errors $(CORE_PACKAGES) $(FS_PACKAGES) || \
	    { echo "make: a library to build with is missing: 'make deps' installs it" >&2; exit 1; }
	$(stamp)

$(BUILD)/sources: export STAMP = $(CORE) $(FS) $(SHARED)
$(BUILD)/sources: FORCE
	$(stamp)

$(BUILD)/obj/core/%.o: core/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call quiet,CC  ,$<) $(call compile,core) -MMD -MP -c -o $@ $<

# What it embeds.
$(BUILD)/obj/core/recipe_known.o: $(wildcard core/layouts/*.json)

$(BUILD)/obj/fs/%.o: fs/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call quiet,CC  ,$<) $(call compile,fs) -MMD -MP -c -o $@ $<

$(BUILD)/obj/tests/%.o: tests/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call quiet,CC  ,$<) $(call compile,tests) -MMD -MP -c -o $@ $<

$(LIBRARY): $(call object,$(CORE)) $(BUILD)/sources
	@rm -f $@
	$(call quiet,AR  ,$@) $(AR) rcs $@ $(filter %.o,$^)

$(PROGRAM): $(call object,$(FS) $(KNOWN)) $(LIBRARY) $(BUILD)/sources
	$(call quiet,LINK,$@) $(call link,$(FS_LIBS))

$(TEST_PROGRAMS) $(CLI_PROGRAMS): $(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o \
        $(call object,$(SHARED) $(KNOWN)) $(LIBRARY) $(BUILD)/sources
	@mkdir -p $(@D)
	$(call quiet,LINK,$@) $(call link,$(TEST_LIBS))

# Not with what is ours in it: they stand between the program and the C library.
$(PRELOADED): $(BUILD)/tests/%.so: tests/fixtures/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call quiet,CC  ,$@) $(filter-out -fPIE $(SANITIZER),$(call compile,tests)) -fPIC -shared -o $@ $<

# They look at everything that takes input: the options' parser as well.
$(FUZZ_PROGRAMS): $(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o \
        $(call object,$(REPLAY) $(KNOWN) fs/options.c) $(LIBRARY) $(BUILD)/sources
	@mkdir -p $(@D)
	$(call quiet,LINK,$@) $(call link,$(if $(REPLAY),,-fsanitize=fuzzer) $(TEST_LIBS))

# Programs to measure against: nothing of ours is in them.
$(BENCH_PROGRAMS): $(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o
	@mkdir -p $(@D)
	$(call quiet,LINK,$@) $(call link,$(FS_LIBS))

# Kept although they are only steps on the way to a program.
OBJECTS := $(call object,$(CORE) $(FS) $(SHARED) $(KNOWN) $(TESTS) $(CLIS) $(BENCH) $(FUZZ) $(REPLAY))
.SECONDARY: $(OBJECTS)

-include $(OBJECTS:.o=.d)

# What is installed as it is, and where below PREFIX.
INSTALLED := $(sort $(wildcard fs/dist/man/*.[18] fs/dist/completion/*)) fs/dist/systemd/example.mount
place = $(patsubst fs/dist/man/%.1,share/man/man1/%.1,$(patsubst fs/dist/man/%.8,share/man/man8/%.8,\
    $(patsubst fs/dist/completion/addonfs.bash,share/bash-completion/completions/addonfs,\
    $(patsubst fs/dist/completion/addonfs.fish,share/fish/vendor_completions.d/addonfs.fish,\
    $(patsubst fs/dist/completion/_addonfs,share/zsh/site-functions/_addonfs,\
    $(patsubst fs/dist/systemd/%,share/doc/addonfs/examples/%,$(1)))))))
PREFIX ?= /usr/local
DESTDIR ?=
UNITS ?= $(PREFIX)/lib/systemd/system

# --- Use -----------------------------------------------------------------------------------------

deps: ## install what is missing (SCOPE=build, test, lint, bench, coverage, soak, deb or install; each includes those it needs)
	@fs/dist/deps.sh $(SCOPE)

# Packages first, then a make of its own: what it asks pkg-config may be there only now.
run: ## mount REPO at MNT and show it (default: a demo repository; RUN_OPTIONS='-o …')
	@fs/dist/deps.sh build
	@$(MAKE) --no-print-directory all
	@ADDONFS='$(PROGRAM)' DEMO='$(BUILD)/demo' fs/dist/run.sh

test: ## install what is missing, then build and run every test (ONLY=tests/mount/test_live.py, PYTEST_ARGS, SANITIZE=address|thread)
	@fs/dist/deps.sh test
	@$(MAKE) --no-print-directory check

# DESTDIR is for whoever makes packages; PREFIX is what the installed files say.
install: all ## install into PREFIX (default /usr/local), below DESTDIR
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(UNITS)
	install -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/addonfs
	ln -sf ../bin/addonfs $(DESTDIR)$(PREFIX)/sbin/mount.addonfs
	sed 's|@PREFIX@|$(PREFIX)|' 'fs/dist/systemd/addonfs@.service' >$(DESTDIR)$(UNITS)/addonfs@.service
	chmod 644 $(DESTDIR)$(UNITS)/addonfs@.service
	$(foreach file,$(INSTALLED),install -D -m 644 $(file) $(DESTDIR)$(PREFIX)/$(call place,$(file))$(newline)	)

uninstall: ## remove what `make install` has installed
	rm -f $(DESTDIR)$(PREFIX)/bin/addonfs $(DESTDIR)$(PREFIX)/sbin/mount.addonfs \
	    $(DESTDIR)$(UNITS)/addonfs@.service \
	    $(foreach file,$(INSTALLED),$(DESTDIR)$(PREFIX)/$(call place,$(file)))

deb: all ## a package for Debian: build/addonfs_VERSION-1_ARCH.deb
	@fs/dist/deps.sh deb
	@VERSION='$(VERSION)' BUILD='$(BUILD)' MAKE='$(MAKE)' fs/dist/deb.sh

# Neither root nor network of this machine's are touched but by debootstrap, which needs both.
test-install: deb ## lintian; install, use and remove the package in a new system below build/ (needs root)
	@fs/dist/deps.sh install
	@fs/dist/test-install.sh '$(BUILD)'

bench: ## measure addonfs beside its peers, into tests/bench/results/ (REPO=, RUNS=5, BENCH_ARGS=--no-growth)
	@fs/dist/deps.sh bench
	@$(MAKE) --no-print-directory all $(BENCH_PROGRAMS)
	@ADDONFS='$(abspath $(PROGRAM))' ADDONFS_BUILD='$(abspath $(BUILD))' PYTHONDONTWRITEBYTECODE=1 \
	    $(PYTHON) tests/bench/bench.py --runs $(RUNS) $(if $(REPO),--repo '$(REPO)') $(BENCH_ARGS)

# --- Checks --------------------------------------------------------------------------------------

REPORTS := $(BUILD)/reports

# $(call sanitizers,MORE): what the programs under test find in their environment.
sanitizers = ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:strict_string_checks=1:exitcode=99$(1)" \
    UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:exitcode=99$(1)" \
    TSAN_OPTIONS="second_deadlock_stack=1:die_after_fork=0:exitcode=99$(1)"

check: all $(TEST_PROGRAMS) $(CLI_PROGRAMS) $(PRELOADED) $(BENCH_PROGRAMS) $(FUZZ_PROGRAMS) ## what `make test` does, without installing anything
	@$(MAKE) --no-print-directory check-unit
	@$(MAKE) --no-print-directory check-python

# Every input that a fuzzer has broken something with is run again each time, and the seeds as well.
check-unit: $(TEST_PROGRAMS) $(FUZZ_PROGRAMS) ## the unit tests alone, and the kept inputs of the fuzzers
	@failed=; \
	for program in $(FUZZ_PROGRAMS); do \
	    echo "== $$program"; \
	    $(call sanitizers) "$$program" "tests/fuzz/corpus/$${program##*/fuzz_}" || \
	        failed="$$failed $$program"; \
	done; \
	for program in $(TEST_PROGRAMS); do \
	    echo "== $$program"; \
	    $(call sanitizers) "$$program" || failed="$$failed $$program"; \
	done; \
	[ -z "$$failed" ] || { echo "make: failed:$$failed" >&2; exit 1; }

# WORKERS processes take the tests in Python among them; 0: none but pytest itself.
WORKERS ?= $(JOBS)

# A daemon has no terminal: what its sanitizer finds goes to files, and any such file is a failure.
check-python: all $(CLI_PROGRAMS) $(PRELOADED) ## the tests in Python alone
	@build=$$(mkdir -p $(BUILD) && cd $(BUILD) && pwd) || exit; \
	rm -rf $(REPORTS); mkdir -m 1777 $(REPORTS); \
	for program in $(notdir $(CLI_PROGRAMS)); do \
	    export "ADDONFS_$$(echo "$$program" | tr '[:lower:]' '[:upper:]')=$$build/tests/$$program"; \
	done; \
	failed=0; \
	$(call sanitizers,:log_path='$$build/reports/report') \
	ADDONFS="$(if $(MEMCHECK),$$PWD/tests/fixtures/memcheck.sh,$$build/addonfs)" \
	ADDONFS_BUILD="$$build" SANITIZE='$(SANITIZE)' MEMCHECK='$(MEMCHECK)' \
	PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY="$$build/hypothesis" \
	    $(PYTHON) -m pytest -p no:cacheprovider -ra -n $(WORKERS) $(ONLY) $(PYTEST_ARGS) || failed=$$?; \
	for report in $(REPORTS)/*; do \
	    [ ! -s "$$report" ] || { echo "make: $$report:" >&2; cat "$$report" >&2; failed=1; }; \
	done; \
	exit $$failed

test-thread: ## the unit tests, and those with many readers, under ThreadSanitizer
	@fs/dist/deps.sh test
	@$(MAKE) --no-print-directory check-unit SANITIZE=thread
	@$(MAKE) --no-print-directory check-python SANITIZE=thread \
	    ONLY='tests/mount/test_parallel.py tests/mount/test_preparation.py tests/mount/test_wait.py'

# A daemon that has become another user adds to the counters too: their files are there before, for all
# to write. What a process has counted that is killed is lost. Tests that fail end it; what is covered then
# is told all the same.
coverage: ## which lines the tests run, by file (ONLY=; below MINIMUM=90 percent it fails)
	@fs/dist/deps.sh coverage
	@$(MAKE) --no-print-directory coverage-programs SANITIZE=coverage
	@find build/coverage/obj -name '*.gcda' -delete
	@find build/coverage/obj -name '*.gcno' | sed 's/gcno$$/gcda/' | xargs -d '\n' sh -c 'touch "$$@" && chmod 666 "$$@"' sh
	@failed=0; \
	$(MAKE) --no-print-directory check-unit SANITIZE=coverage || failed=1; \
	$(MAKE) --no-print-directory check-python SANITIZE=coverage || failed=1; \
	$(MAKE) --no-print-directory coverage-report || failed=1; \
	exit $$failed

.PHONY: coverage coverage-programs coverage-report
coverage-programs: all $(TEST_PROGRAMS) $(CLI_PROGRAMS) $(BENCH_PROGRAMS) $(FUZZ_PROGRAMS)

coverage-report: ## what the last `make coverage` has found, again
	@gcovr --root . --object-directory build/coverage/obj -j $(JOBS) --filter core/ --filter fs/ \
	    --json build/coverage/lines.json build/coverage/obj
	@for folder in core fs; do gcovr --root . -a build/coverage/lines.json --filter $$folder/; done
	@gcovr --root . -a build/coverage/lines.json --print-summary --fail-under-line $(MINIMUM) \
	    --output build/coverage/lines.txt

# What takes longer than CI may: ADDONFS_OPERATIONS, ADDONFS_SEED, ADDONFS_SOAK_SECONDS; and those at the head of
# tests/soak/soak_load.py.
soak: ## a hundred thousand operations, each seen at once; readers against writers; load, 10,000 mounts, a large repository
	@fs/dist/deps.sh test
	@$(MAKE) --no-print-directory all $(CLI_PROGRAMS)
	@ADDONFS_OPERATIONS=$${ADDONFS_OPERATIONS:-100000} $(MAKE) --no-print-directory check-python \
	    ONLY='tests/mount/test_strict.py tests/soak/soak_readers.py tests/soak/soak_load.py' WORKERS=0 \
	    PYTEST_ARGS='-s $(PYTEST_ARGS)'

# As much as takes some minutes where every access to memory is checked.
soak-memory: export ADDONFS_LOAD_SECONDS ?= 60
soak-memory: export ADDONFS_LOAD_READERS ?= 16
soak-memory: export ADDONFS_LOAD_LOOKUPS ?= 5000
soak-memory: export ADDONFS_LOAD_OPENS ?= 1000
soak-memory: export ADDONFS_MOUNTS ?= 20
soak-memory: export ADDONFS_LARGE_FILES ?= 2000
soak-memory: export ADDONFS_LARGE_COMMITS ?= 500
soak-memory: export ADDONFS_LARGE_BYTES ?= 67108864
soak-memory: ## the load of `make soak`, but less, under valgrind and under AddressSanitizer: no error, no leak
	@fs/dist/deps.sh soak
	@for checked in MEMCHECK=1 SANITIZE=address; do \
	    $(MAKE) --no-print-directory check-python $$checked WORKERS=0 ONLY=tests/soak/soak_load.py \
	        PYTEST_ARGS='-s $(PYTEST_ARGS)' || exit; \
	done

# TARGET is one of tests/fuzz/fuzz_*.c; without it each gets TIME seconds. What libFuzzer finds goes to
# build/fuzzer/found/; once mended, it is kept in tests/fuzz/corpus/.
fuzz: ## libFuzzer with ASan and UBSan on everything that takes input (TIME=60, TARGET=pylit, JOBS)
	@fs/dist/deps.sh lint
	@$(MAKE) --no-print-directory fuzz-programs SANITIZE=fuzzer
	@failed=; for target in $(or $(TARGET),$(FUZZ:tests/fuzz/fuzz_%.c=%)); do \
	    mkdir -p build/fuzzer/corpus/$$target build/fuzzer/found; \
	    echo "== $$target"; \
	    ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
	    build/fuzzer/fuzz/fuzz_$$target -max_total_time=$(TIME) -timeout=20 -print_final_stats=1 \
	        -artifact_prefix=build/fuzzer/found/$$target- $(FUZZ_ARGS) \
	        build/fuzzer/corpus/$$target tests/fuzz/corpus/$$target \
	        >build/fuzzer/$$target.log 2>&1 || failed="$$failed $$target"; \
	    grep -E 'number_of_executed_units|ERROR|SUMMARY' build/fuzzer/$$target.log; \
	done; \
	[ -z "$$failed" ] || { echo "make: failed:$$failed: see build/fuzzer/*.log" >&2; exit 1; }

.PHONY: fuzz fuzz-programs
fuzz-programs: $(FUZZ_PROGRAMS)

# What clang-tidy and cppcheck read of C: headers through the files that include them.
LINTED := $(CORE) $(FS) $(BENCH)

# cppcheck does not know scope macros (it sees leaks; the sanitizers find the real ones), and readdir_r,
# which it wants, is deprecated.
UNFIT := memleak resourceLeak readdirCalled missingIncludeSystem

LINTS := lint-floors lint-format lint-tidy lint-cppcheck
.PHONY: $(LINTS)

lint: ## clang-format, clang-tidy, cppcheck and the floor rule (installs what is missing)
	@fs/dist/deps.sh lint
	@$(MAKE) --no-print-directory --keep-going --output-sync=target $(LINTS)

lint-floors:
	@echo '== floors'
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/lint/floors.py

lint-format:
	@echo '== clang-format'
	$(if $(C_FILES),@clang-format --dry-run -Werror $(C_FILES))

# One process a file, a core each; what it says about headers of others is of no interest.
lint-tidy: compile_commands
	@echo '== clang-tidy'
	@printf '%s\n' $(LINTED) | xargs -r -P $(JOBS) -I '{}' sh -c \
	    'out=$$(clang-tidy -p $(BUILD) --quiet "$$1" 2>&1) || { printf "%s\n" "$$out"; exit 1; }' sh '{}'

lint-cppcheck:
	@echo '== cppcheck'
	@mkdir -p $(BUILD)/cppcheck
	$(if $(LINTED),@cppcheck --quiet --enable=warning$(comma)performance$(comma)portability \
	    --error-exitcode=1 --inline-suppr --std=c11 --library=posix --library=gnu -j $(JOBS) \
	    --cppcheck-build-dir=$(BUILD)/cppcheck $(UNFIT:%=--suppress=%) \
	    -D_GNU_SOURCE '-DADDONFS_VERSION="$(VERSION)"' -Iinclude -Icore -Ifs $(LINTED))

format: ## let clang-format lay out every C file
	$(if $(C_FILES),clang-format -i $(C_FILES))

# How each file is compiled, for clang-tidy and editors.
json = $(subst ",\",$(subst \,\\,$(1)))
define command
{"directory": "$(call json,$(CURDIR))", "file": "$(1)", "output": "$(call object,$(1))", "command": "$(call json,$(call compile,$(2)) -c -o $(call object,$(1)) $(1))"}
endef
commands = $(foreach folder,core fs tests,$(foreach file,$(filter $(folder)/%,$(CORE) $(FS) $(SHARED) $(TESTS) $(CLIS) $(BENCH) $(FUZZ) tests/fuzz/replay.c $(FIXTURES)),$(call command,$(file),$(folder))))

compile_commands: $(BUILD)/flags ## write build/compile_commands.json
	@: $(shell mkdir -p $(BUILD))$(file >$(BUILD)/compile_commands.json,[$(subst } {,}$(comma)$(newline){,$(commands))])

clean: ## remove what was built
	@! findmnt --mountpoint $(BUILD)/demo/mnt >/dev/null || \
	    { echo 'make: first: $(PROGRAM) umount $(BUILD)/demo/mnt' >&2; exit 1; }
	rm -rf --one-file-system $(BUILD)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / { printf "%-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

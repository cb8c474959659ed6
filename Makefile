# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets. One build mode at a time, each in a folder of its own: make MODE=release|asan|tsan.

MODE ?= release
CC ?= gcc
O ?= build/$(MODE)
PREFIX ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
CC := gcc
endif

WARN := -Wall -Wextra -Werror -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
        -Wpointer-arith -Wundef -Wformat=2 -Wno-missing-field-initializers
CFLAGS_release := -O2 -g
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
CFLAGS_tsan := -O1 -g -fsanitize=thread
ifeq ($(filter $(MODE),release asan tsan),)
$(error MODE=$(MODE): want release, asan or tsan)
endif
BASE := -std=gnu11 -D_GNU_SOURCE -iquote . -iquote $(O)/gen -fno-omit-frame-pointer -fvisibility=hidden \
        -fstack-protector-strong $(WARN)
CFLAGS_ALL := $(BASE) $(CFLAGS_$(MODE)) $(CFLAGS)
LDFLAGS_ALL := $(filter -fsanitize%,$(CFLAGS_$(MODE))) -Wl,-z,relro,-z,now $(LDFLAGS)

VM_LIBS := -lelf -pthread
SERVER_LIBS := -luring -lcrypto $(VM_LIBS)

VM_SRC := $(wildcard vm/*.c jit-x86_64/*.c loader/*.c)
VM_ASM := $(wildcard vm/*.S jit-x86_64/*.S)
SERVER_SRC := $(filter-out server/main.c,$(wildcard server/*.c server/helpers/*.c))
SERVER_ASM := $(wildcard server/*.S)
TOOL_SRC := $(wildcard tools/*.c)
UNIT_SRC := $(wildcard tests/unit/*.c)
SUPPORT_SRC := $(wildcard tests/support/*.c)
FUZZ_SRC := $(filter-out fuzz/replay.c,$(wildcard fuzz/*.c))
HEADERS := $(wildcard tests/support/*.h fuzz/*.h vm/*.h jit-x86_64/*.h loader/*.h server/*.h server/helpers/*.h sdk/*.h)

obj = $(patsubst %,$(O)/%.o,$(1))
VM_OBJ := $(call obj,$(VM_SRC) $(VM_ASM))
SERVER_OBJ := $(call obj,$(SERVER_SRC) $(SERVER_ASM))
UNITS := $(patsubst tests/unit/%.c,$(O)/tests/%,$(UNIT_SRC))
SUPPORT_OBJ := $(call obj,$(SUPPORT_SRC))
FUZZERS := $(patsubst fuzz/%.c,$(O)/fuzz/%,$(FUZZ_SRC))

.PHONY: all deps lib serve test unit e2e fuzz bench lint format install clean help tests fuzzers sdk
.SECONDARY:
.DEFAULT_GOAL := all

all: $(O)/zeroserve $(O)/zs-vm ## build everything in this mode
lib: $(O)/libzsvm.a ## build the engine alone

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo '  MODE=release|asan|tsan   build mode (now: $(MODE)), output in build/<mode>'

deps: ## install missing Debian packages; does nothing when all are there
	@sh tools/deps.sh build

# ---- what is built ----------------------------------------------------------------------------------------------

$(O)/libzsvm.a: $(VM_OBJ)
	@rm -f $@ && ar rcs $@ $^
$(O)/libserver.a: $(SERVER_OBJ)
	@rm -f $@ && ar rcs $@ $^
# An archive, so that a fuzz harness takes what it uses and not what needs the unit test library.
$(O)/libsupport.a: $(SUPPORT_OBJ)
	@rm -f $@ && ar rcs $@ $^
$(O)/zeroserve: $(O)/server/main.c.o $(O)/libserver.a $(O)/libzsvm.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(SERVER_LIBS)
$(O)/zs-vm: $(call obj,$(TOOL_SRC)) $(O)/libserver.a $(O)/libzsvm.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(SERVER_LIBS)

$(O)/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
$(O)/%.S.o: %.S
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -Wa,-I$(O)/gen -MMD -MP -c -o $@ $<

# The header scripts see is one file: the list of helpers stands where zeroserve.h includes it.
$(O)/gen/zeroserve_sdk.h: sdk/zeroserve.h sdk/helpers.def
	@mkdir -p $(@D)
	@sed -e '/#include "helpers.def"/{r sdk/helpers.def' -e 'd}' sdk/zeroserve.h > $@.tmp && mv $@.tmp $@
$(O)/server/sdk_text.S.o: $(O)/gen/zeroserve_sdk.h

# ---- tests ------------------------------------------------------------------------------------------------------

$(O)/tests/%: $(O)/tests/unit/%.c.o $(O)/libsupport.a $(O)/libserver.a $(O)/libzsvm.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcriterion $(SERVER_LIBS)
# A fuzz harness runs its corpus and a fixed share of random inputs by itself; built by clang it is a libFuzzer target.
FUZZ_MAIN ?= $(O)/fuzz/replay.c.o
$(O)/fuzz/%: $(O)/fuzz/%.c.o $(FUZZ_MAIN) $(O)/libsupport.a $(O)/libserver.a $(O)/libzsvm.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(SERVER_LIBS)

tests: $(UNITS)
fuzzers: $(FUZZERS)
unit: $(UNITS) ## unit tests of this mode
	@sh tests/run.sh $(O) unit
e2e: all ## end-to-end tests with real clients
	@sh tests/run.sh $(O) e2e
test: ## install what is missing, then all tests: release, sanitizers, fuzz share, lint
	@sh tools/deps.sh test
	@$(MAKE) --no-print-directory lint
	@bash tests/all.sh
fuzz: ## fuzz every surface for FUZZ_SECONDS each (default 60), coverage-guided
	@sh fuzz/run.sh
bench: ## engine benchmarks
	@$(MAKE) --no-print-directory MODE=release all
	@sh bench/run.sh $(O)

serve: ## install what is missing, build, pack examples/site and serve it on port 8080
	@sh tools/deps.sh build
	@$(MAKE) --no-print-directory -j2 MODE=release all
	@sh tools/serve.sh build/release

lint: $(HEADERS:%=$(O)/%.ok) ## headers compile alone, layers are kept, no forbidden calls
	@bash tools/lint.sh
$(O)/%.h.ok: %.h
	@mkdir -p $(@D)
	@$(CC) $(BASE) -x c -fsyntax-only $< && touch $@
format: ## format all sources
	@clang-format -i $$(git ls-files '*.c' '*.h')

install: all ## install below DESTDIR and PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(PREFIX)/share/man/man1 \
	    $(DESTDIR)$(PREFIX)/include/zsvm/vm $(DESTDIR)$(PREFIX)/include/zsvm/loader \
	    $(DESTDIR)$(PREFIX)/include/zsvm/jit-x86_64
	install -m 755 $(O)/zeroserve $(O)/zs-vm $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(O)/libzsvm.a $(DESTDIR)$(PREFIX)/lib
	install -m 644 vm/vm.h vm/err.def vm/fault.def $(DESTDIR)$(PREFIX)/include/zsvm/vm
	install -m 644 loader/loader.h $(DESTDIR)$(PREFIX)/include/zsvm/loader
	install -m 644 jit-x86_64/jit.h $(DESTDIR)$(PREFIX)/include/zsvm/jit-x86_64
	install -m 644 $(O)/gen/zeroserve_sdk.h $(DESTDIR)$(PREFIX)/include/zeroserve.h
	install -m 644 docs/zeroserve.1 docs/zs-vm.1 $(DESTDIR)$(PREFIX)/share/man/man1
clean: ## remove everything built
	rm -rf build

-include $(shell find $(O) -name '*.d' 2>/dev/null)

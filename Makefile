# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets. One build mode at a time, each in a folder of its own: make MODE=release|asan|tsan.

MODE ?= release
CC ?= gcc
O ?= build/$(MODE)
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
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
# The server is optimized as a whole: 2 to 4 % of its processor time; without frame pointers 0 to 4 % (profile it with
# CFLAGS=-fno-omit-frame-pointer). Tests link the same objects without, which is faster; the engine is the same code for
# all that link it, without frame pointers, too. Each link says which: behind -fno-lto, gcc takes no -flto.
ifeq ($(MODE) $(findstring gcc,$(CC)),release gcc)
LTO_COMPILE := -flto -ffat-lto-objects -fno-plt -fomit-frame-pointer
VM_COMPILE := -fomit-frame-pointer
LTO_LINK := -flto=auto -O2
NO_LTO := -fno-lto
endif

# Goes up when a program that was linked against the library before would no longer run.
SOVERSION := 0
VERSION = $(shell sed -n 's/^.define [A-Z_]*VERSION "\(.*\)"/\1/p' server/version.h)

VM_LIBS := -lelf -pthread
SERVER_LIBS := -luring -lssl -lcrypto -lIPSec_MB -lseccomp -lcap -ljansson -lz -lzstd -lbrotlienc $(VM_LIBS)

# HPACK of another kind, and a client of HTTP/2.
TEST_LIBS := -lnghttp2

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

.PHONY: all reference deps lib serve test unit e2e soak fuzz bench bench-engine bench-server bench-rate bench-programs engine-bench lint format install uninstall clean help tests fuzzers sdk
.SECONDARY:
.DEFAULT_GOAL := all

all: $(O)/zeroserve $(O)/zs-vm lib ## build everything in this mode
lib: $(O)/libzsvm.a $(O)/libzsvm.so.$(SOVERSION) ## build the engine alone

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo '  MODE=release|asan|tsan   build mode (now: $(MODE)), output in build/<mode>'

deps: ## install missing Debian packages; does nothing when all are there
	@sh tools/deps.sh build

# ---- what is built ----------------------------------------------------------------------------------------------

$(O)/libzsvm.a: $(VM_OBJ)
	@rm -f $@ && ar rcs $@ $^
# Only what is marked VM_API is exported. Signal handlers point into the library: it is never unloaded.
$(O)/libzsvm.so.$(SOVERSION): $(VM_OBJ) vm/zsvm.map
	$(CC) $(LDFLAGS_ALL) -shared -Wl,-soname,$(@F) -Wl,-Bsymbolic-functions -Wl,-z,nodelete \
	    -Wl,--version-script=vm/zsvm.map -o $@ $(filter %.o,$^) $(VM_LIBS)
# The same objects make both libraries. An object of an older Makefile may not fit into a shared one.
$(VM_OBJ): CFLAGS_ALL += -fPIC -ftls-model=initial-exec $(VM_COMPILE) $(CFLAGS)
# cmpxchg16b, which all x86-64 but the very first have
$(O)/server/rate.c.o: CFLAGS_ALL += -mcx16
$(VM_OBJ): Makefile
$(SERVER_OBJ) $(O)/server/main.c.o: CFLAGS_ALL += $(LTO_COMPILE) $(CFLAGS)
$(O)/libserver.a: $(SERVER_OBJ)
	@rm -f $@ && ar rcs $@ $^
# An archive, so that a fuzz harness takes what it uses and not what needs the unit test library.
$(O)/libsupport.a: $(SUPPORT_OBJ)
	@rm -f $@ && ar rcs $@ $^
$(O)/zeroserve: $(O)/server/main.c.o $(O)/libserver.a $(O)/libzsvm.a
	$(CC) $(LDFLAGS_ALL) $(LTO_LINK) -o $@ $^ $(SERVER_LIBS)
$(O)/zs-vm: $(call obj,$(TOOL_SRC)) $(O)/libserver.a $(O)/libzsvm.a
	$(CC) $(LDFLAGS_ALL) $(NO_LTO) -o $@ $^ -lZydis $(SERVER_LIBS)

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
$(O)/server/sdk_text.S.o: $(O)/gen/zeroserve_sdk.h docs/zeroserve.1

# ---- tests ------------------------------------------------------------------------------------------------------

$(O)/tests/%: $(O)/tests/unit/%.c.o $(O)/libsupport.a $(O)/libserver.a $(O)/libzsvm.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) $(NO_LTO) -o $@ $^ -lcriterion $(TEST_LIBS) $(SERVER_LIBS)
# A fuzz harness runs its corpus and a fixed share of random inputs by itself; built by clang it is a libFuzzer target.
FUZZ_MAIN ?= $(O)/fuzz/replay.c.o
$(O)/fuzz/%: $(O)/fuzz/%.c.o $(FUZZ_MAIN) $(O)/libsupport.a $(O)/libserver.a $(O)/libzsvm.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) $(NO_LTO) -o $@ $^ $(TEST_LIBS) $(SERVER_LIBS)

# Allocations may fail: tests/unit/hpack.c.
$(O)/tests/hpack: LDFLAGS_ALL += -Wl,--wrap=malloc

# Programs of this harness are compiled to memory that stays: tests/support/code_zone.h.
$(O)/fuzz/engines: LDFLAGS_ALL += -Wl,--wrap=code_reserve,--wrap=code_fill,--wrap=code_unmap

tests: $(UNITS) bench-programs
fuzzers: $(FUZZERS)
unit: $(UNITS) ## unit tests of this mode
	@sh tests/run.sh $(O) unit
e2e: all bench-programs ## end-to-end tests with real clients
	@sh tests/run.sh $(O) e2e
test: ## install what is missing, then all tests: release, sanitizers, fuzz share, lint
	@sh tools/deps.sh test
	@$(MAKE) --no-print-directory lint
	@bash tests/all.sh
soak: all ## a GiB through the proxy, up and down, by HTTP/1.1 and HTTP/2: memory may grow by 4 MiB
	@PROXY_BYTES=1073741824 PROXY_ONLY=memory bash tests/e2e/proxy.sh $(O)
fuzz: ## fuzz every surface for FUZZ_SECONDS each (default 60), coverage-guided
	@sh fuzz/run.sh
bench: bench-engine bench-server ## all benchmarks
bench-server: ## install the peers, then this server and others by turns: processor time, memory; BENCH_FLAGS=--help
	@sh tools/deps.sh bench
	@$(MAKE) --no-print-directory -s -j2 MODE=release all bench-programs
	@python3 bench/server/bench.py --build build/release $(BENCH_FLAGS)
# What bench.py runs besides servers: see the two sources.
bench-programs: $(O)/bench/floor $(O)/bench/turns
$(O)/bench/floor: $(O)/bench/server/floor.c.o
	$(CC) $(LDFLAGS_ALL) $(NO_LTO) -o $@ $^ -luring
$(O)/bench/turns: $(O)/bench/server/turns.c.o
	$(CC) $(LDFLAGS_ALL) $(NO_LTO) -o $@ $^ -lssl -lcrypto
bench-rate: ## what a limit of 1000 a second admits under 8 threads of load
	@$(MAKE) --no-print-directory -s -j2 MODE=release all
	@bash bench/rate.sh build/release
bench-engine: ## programs on the engines and natively, and what entering, compiling, ticks and faults cost
	@$(MAKE) --no-print-directory MODE=release engine-bench

# Each of bench/programs: for the VM, and by both compilers as a library with the one function.
BENCH_PROGRAMS := $(patsubst bench/programs/%.c,$(O)/bench/programs/%,$(wildcard bench/programs/*.c))
BENCH_CFLAGS := -O2 -iquote . -Wall -Wextra -Werror -Wno-parentheses
BENCH_NATIVE := -fPIC -shared -fvisibility=hidden -s
BENCH_HEADERS := bench/programs/program.h
BENCH_SRC := $(patsubst %,bench/%.c,engine programs vmside costs chains report clock ubpf helper)
$(O)/bench/programs/%.bpf.o: bench/programs/%.c $(BENCH_HEADERS)
	@mkdir -p $(@D)
	clang -target bpf -mcpu=v3 -fno-builtin $(BENCH_CFLAGS) -Wno-bitwise-op-parentheses -c -o $@ $<
$(O)/bench/programs/%.gcc.so: bench/programs/%.c bench/helper.c $(BENCH_HEADERS)
	@mkdir -p $(@D)
	gcc $(BENCH_CFLAGS) $(BENCH_NATIVE) -o $@ $< bench/helper.c
$(O)/bench/programs/%.clang.so: bench/programs/%.c bench/helper.c $(BENCH_HEADERS)
	@mkdir -p $(@D)
	clang $(BENCH_CFLAGS) $(BENCH_NATIVE) -Wno-bitwise-op-parentheses -o $@ $< bench/helper.c
# Scripts of the server, of both folders.
BENCH_SCRIPTS := $(patsubst %.c,$(O)/bench/scripts/%.o,$(notdir $(wildcard bench/scripts/*.c bench/server/scripts/chain/*.c)))
define bench_script
@mkdir -p $(@D)
clang -target bpf -mcpu=v3 -fno-builtin -O2 -g -I sdk -c -o $@ $<
endef
$(O)/bench/scripts/%.o: bench/scripts/%.c sdk/zeroserve.h sdk/helpers.def
	$(bench_script)
$(O)/bench/scripts/%.o: bench/server/scripts/chain/%.c sdk/zeroserve.h sdk/helpers.def
	$(bench_script)
# The compiler once more without its cage, under a name of its own, to measure what the cage costs. In no product.
BENCH_UNCAGED := $(patsubst %,$(O)/bench/uncaged/%.o,$(wildcard jit-x86_64/*.c) jit-x86_64/calls.S)
$(O)/bench/uncaged/%.o: %
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -DZSVM_BENCH_UNCAGED -MMD -MP -c -o $@ $<
$(O)/bench/uncaged.o: $(BENCH_UNCAGED)
	@ld -r -o $@ $^
	@objcopy --redefine-sym jit_x86_64=jit_x86_64_uncaged $@
	@objcopy --keep-global-symbol=jit_x86_64_uncaged $@
$(O)/bench/engine: $(call obj,$(BENCH_SRC)) $(O)/bench/uncaged.o $(O)/libserver.a $(O)/libzsvm.a
	$(CC) $(LDFLAGS_ALL) $(NO_LTO) -o $@ $^ -ldl -lm $(SERVER_LIBS)
engine-bench: lib $(O)/bench/engine $(BENCH_SCRIPTS) $(foreach p,$(BENCH_PROGRAMS),$p.bpf.o $p.gcc.so $p.clang.so)
	@sh bench/run.sh $(O) $(BENCH_FLAGS)

serve: ## install what is missing, build, pack examples/site and serve it on port 8080
	@sh tools/deps.sh build
	@$(MAKE) --no-print-directory -j2 MODE=release all
	@sh tools/serve.sh build/release

lint: $(HEADERS:%=$(O)/%.ok) ## headers compile alone, layers are kept, no forbidden calls
	@bash tools/lint.sh
$(O)/%.h.ok: %.h
	@mkdir -p $(@D)
	@$(CC) $(BASE) -x c -fsyntax-only $< && touch $@
reference: ## make docs/HELPERS.md of sdk/helpers.def
	@awk -f tools/reference.awk sdk/helpers.def > docs/HELPERS.md
format: ## format all sources
	@clang-format -i $$(git ls-files '*.c' '*.h')

# Headers keep their folders below include/zsvm, so that "vm/vm.h" is the same name inside this tree and outside.
BINS := zeroserve zs-vm
PUBLIC_HEADERS := vm/vm.h vm/err.def vm/fault.def vm/limits.h loader/loader.h jit-x86_64/jit.h
MANUALS := docs/zeroserve.1 docs/zs-vm.1
DOCUMENTS := LICENSE $(wildcard docs/*.md)
DEST_BIN := $(DESTDIR)$(PREFIX)/bin
DEST_LIB := $(DESTDIR)$(LIBDIR)
DEST_INCLUDE := $(DESTDIR)$(INCLUDEDIR)
DEST_MAN := $(DESTDIR)$(PREFIX)/share/man/man1
DEST_DOC := $(DESTDIR)$(PREFIX)/share/doc/zeroserve

install: all ## install below DESTDIR and PREFIX
	install -d $(DEST_BIN) $(DEST_LIB)/pkgconfig $(DEST_MAN) $(DEST_DOC)
	install -m 755 $(BINS:%=$(O)/%) $(DEST_BIN)
	install -m 644 $(O)/libzsvm.a $(O)/libzsvm.so.$(SOVERSION) $(DEST_LIB)
	ln -sf libzsvm.so.$(SOVERSION) $(DEST_LIB)/libzsvm.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
	    -e 's|@VERSION@|$(VERSION)|' vm/zsvm.pc.in > $(DEST_LIB)/pkgconfig/zsvm.pc
	chmod 644 $(DEST_LIB)/pkgconfig/zsvm.pc
	for h in $(PUBLIC_HEADERS); do install -D -m 644 $$h $(DEST_INCLUDE)/zsvm/$$h || exit 1; done
	install -m 644 $(O)/gen/zeroserve_sdk.h $(DEST_INCLUDE)/zeroserve.h
	install -m 644 $(MANUALS) $(DEST_MAN)
	install -m 644 $(DOCUMENTS) $(DEST_DOC)
uninstall: ## remove what install put there; same DESTDIR and PREFIX
	rm -f $(BINS:%=$(DEST_BIN)/%) $(DEST_LIB)/libzsvm.a $(DEST_LIB)/libzsvm.so $(DEST_LIB)/libzsvm.so.$(SOVERSION) \
	    $(DEST_LIB)/pkgconfig/zsvm.pc $(DEST_INCLUDE)/zeroserve.h $(MANUALS:docs/%=$(DEST_MAN)/%)
	rm -rf $(DEST_INCLUDE)/zsvm $(DEST_DOC)
clean: ## remove everything built
	rm -rf build

-include $(shell find $(O) -name '*.d' 2>/dev/null)

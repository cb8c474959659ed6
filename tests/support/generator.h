/* SPDX-License-Identifier: Apache-2.0 */
/* The program generator: what its files share. generate.c chooses, generate_loads.c has shapes of
 * its own. */
#ifndef TESTS_SUPPORT_GENERATOR_H
#define TESTS_SUPPORT_GENERATOR_H

#include "tests/support/generate.h"
#include "vm/limits.h"

enum {
    FUNCTIONS_MAX = 4,
    FRAME_BYTES = 256,
    HEAP_BYTES = 176, /* most accesses to the heap go there */
    COUNTER = 9,
    PATCHES_MAX = 64,
};

/* Most programs are small: a compiler of ours errs in what stands together, and many small ones are
 * more different than few large ones. Some are not, because distances and tables must grow. */
struct size {
    unsigned items; /* of the entry function, at most */
    unsigned callee_items;
    unsigned insns; /* about; the program ends when they are reached */
    bool repeats;   /* uses the input's bytes over and over until then */
};
struct patch {
    uint32_t insn;
    unsigned callee;
};

struct generator {
    struct t_code *code;
    const uint8_t *bytes;
    size_t length;
    size_t at;
    const struct size *size;
    uint8_t round;     /* of the input's bytes */
    unsigned unknown;  /* bit n: the entry function begins with loading Rn */
    unsigned reported; /* bit n: it ends with storing Rn */
    unsigned function; /* being written */
    unsigned function_count;
    bool in_loop;   /* COUNTER is taken */
    bool recurses;  /* once is enough: the number of calls doubles with each */
    unsigned depth; /* nesting of skips and loops */
    uint32_t start[FUNCTIONS_MAX];
    struct patch patch[PATCHES_MAX]; /* calls whose distance is not known yet */
    unsigned patch_count;
};

/* clang-format off */
static const int64_t generator_edges[] = {
    0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 127, 128, 255, 256, 1023, 4096, 0x7fff, 0x8000,
    0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x123456789abcdef,
    INT64_MAX, INT64_MIN, INT32_MIN, -1, -2, -3, -8, -128, -129, -32768, -65536,
    0x00ff00ff00ff00ff, (int64_t)0xffffffff00000000, 10, 100, 1000, 641, 0x55555555,
};
/* clang-format on */
enum { EDGES = sizeof generator_edges / sizeof *generator_edges };

/* ---- choices */

static inline uint8_t byte(struct generator *g)
{
    if (g->at == g->length && g->size->repeats && g->length) {
        g->at = 0;
        g->round++;
    }
    return g->at < g->length ? (uint8_t)(g->bytes[g->at++] + g->round * 89) : 0;
}

static inline unsigned choose(struct generator *g, unsigned limit)
{
    return byte(g) % limit;
}

static inline bool one_in(struct generator *g, unsigned n)
{
    return byte(g) % n == n - 1; /* no, when the input has ended */
}

static inline uint64_t value64(struct generator *g)
{
    if (!one_in(g, 4))
        return (uint64_t)generator_edges[choose(g, EDGES)];
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | byte(g);
    return value;
}

static inline int32_t value32(struct generator *g)
{
    return (int32_t)(uint32_t)value64(g);
}

/* A register that may be written here. */
static inline unsigned writable(struct generator *g)
{
    unsigned reg = choose(g, 10);
    return g->in_loop && reg == COUNTER ? 0 : reg;
}

static inline unsigned readable(struct generator *g)
{
    return choose(g, 11);
}

static inline unsigned emit(struct generator *g, enum vm_ix ix, unsigned dst, unsigned src, int off,
                            int64_t imm)
{
    return t_emit(g->code, ix, dst, src, off, imm);
}

/* Some row of the group, each as often. */
static inline enum vm_ix row_of(struct generator *g, enum vm_group group)
{
    static uint8_t rows[VM_GROUP_EXIT + 1][VM_IX_COUNT], counts[VM_GROUP_EXIT + 1];
    if (!counts[group])
        for (unsigned ix = 0; ix < VM_IX_COUNT; ix++)
            if (vm_isa[ix].group == group)
                rows[group][counts[group]++] = (uint8_t)ix;
    return (enum vm_ix)rows[group][choose(g, counts[group])];
}

/* ---- generate_loads.c */

/* Numbers put together of narrow loads, as compilers do where nothing is aligned; sometimes not
 * quite. */
void generator_composition(struct generator *g);
/* A load whose value is used at once, mostly for nothing else. */
void generator_operand(struct generator *g);
/* A loop that copies or fills, as it stands in libraries; seldom off the end of what is mapped, or
 * onto what it has yet to read. */
void generator_copy(struct generator *g);

#endif

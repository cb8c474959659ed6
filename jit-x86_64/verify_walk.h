/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the proof share: see verify.c for the walk, verify_rules.c for the tables. */
#ifndef JIT_X86_64_VERIFY_WALK_H
#define JIT_X86_64_VERIFY_WALK_H

#include "jit-x86_64/decode.h"
#include "jit-x86_64/verify.h"
#include "jit-x86_64/x86.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define REG_COUNT    16
#define PUSHED_MAX   12
#define LABELS_MAX   8

/* What a register holds, as far as the walk knows. */
enum value {
    V_ANY,
    V_ZEXT,    /* below 2^32 */
    V_NEAR,    /* and just used in an access: see MEM_STEP_MAX */
    V_INDEX,   /* and an index of the table */
    V_ENTRY,   /* and taken from the table */
    V_NONZERO, /* and not 0: a function starts there */
    V_CONTEXT,
    V_ARENA,
    V_FRAME, /* an address in the window */
    V_TABLE,
    V_TARGET, /* native address, from the table */
    V_HELPER, /* address of the gate of the helper this eBPF instruction calls */
    V_RAISE,  /* address of jit_fault_raise */
    V_SCALAR, /* address of the scalar function of the helper this eBPF instruction calls */
    V_YIELD,  /* address of vm_yield */
};

enum place { PLACE_BODY, PLACE_TAIL };
#define IN(place) (1u << PLACE_##place)

/* Marks of an offset. */
enum {
    MARK_START = 1,    /* an instruction starts there */
    MARK_BOUNDARY = 2, /* an eBPF instruction does */
    MARK_FUNCTION = 4,
    MARK_TARGET = 8, /* branches of other instructions go there */
    MARK_LOOP = 16,  /* a branch of the same instruction goes back there */
};

struct pushed {
    uint8_t reg; /* X86_NO_REG: a number or alignment */
    uint8_t value;
    int32_t imm;
};

struct state {
    uint8_t value[REG_COUNT];
    struct pushed pushed[PUSHED_MAX];
    uint8_t depth;
    bool aligned; /* rsp was rounded down: only for raising */
    bool dead;    /* no way leads here */
};

struct label {
    size_t at;
    struct state state;
    bool is_reached;
};

struct walk {
    const struct jit_verify_input *in;
    uint8_t *marks; /* [bytes + 1] */
    uint16_t *zext; /* [bytes + 1] at a MARK_TARGET or MARK_LOOP: registers below 2^32 on all ways
                       seen so far */
    bool changed;   /* some of them became fewer in this walk */
    size_t at;
    struct decoded d;
    struct decoded last; /* the instruction before */
    enum place place;
    uint32_t insn;
    struct state s;
    struct label labels[LABELS_MAX];
    unsigned label_count;
    const char *why; /* the first objection */
};

/* Notes the first objection; false, so that it can end a function. */
bool verify_refuse(struct walk *w, const char *why);
/* 32 bits, upper half zero. */
bool verify_is_zext(uint8_t value);
bool verify_is_callx(const struct walk *w);
/* The memory operand of w->d is of an allowed form. */
bool verify_memory(struct walk *w);
/* It makes the host address of the frame from the guest's. */
bool verify_is_frame_address(const struct walk *w);
/* It is a checked entry of the table callx looks into. */
bool verify_is_table_load(const struct walk *w);
/* w->d names rsp, r12 and rbp only in ways that are granted. */
bool verify_registers(struct walk *w);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* One table of forms, and the reading of prefixes, ModRM, SIB, displacement and immediate. */
#include "jit-x86_64/decode.h"

#include <string.h>

#include "jit-x86_64/x86.h"

enum operands { NO_OPERAND, IN_OPCODE, REGISTERS, MEMORY };
enum immediate { NO_IMM, IMM8, IMM32, IMM_WIDTH, IMM_ALL }; /* WIDTH: 16 or 32, ALL: 32 or 64 */
enum { W8 = 1, W16 = 2, W32 = 4, W64 = 8, W32_64 = W32 | W64, W16_64 = W16 | W32 | W64 };
enum { VEX_NONE, VEX_66, VEX_F3, VEX_F2 };
enum { MAP_ONE = 0, MAP_0F = 0x0f00, MAP_0F38 = 0x3800 };
enum { REG = 0xff }; /* digits: the reg field names a register; else a set of /n */
#define N(n) (1u << (n))
enum { DIGITS_WRITE = N(X86_ADD) | N(X86_OR) | N(X86_AND) | N(X86_SUB) | N(X86_XOR) };
enum { DIGITS_SHIFT = N(X86_ROL) | N(X86_ROR) | N(X86_SHL) | N(X86_SHR) | N(X86_SAR) };

struct decode_form {
    const char *name;
    uint16_t opcode;
    uint8_t span; /* opcodes from there on: the low bits are a register or a condition */
    uint8_t vex;  /* pp of the VEX prefix, or VEX_NONE */
    bool lock;
    uint8_t operands;
    uint8_t digits;
    uint8_t widths;
    uint8_t imm;
    uint8_t access;
    uint8_t result;
    uint8_t kind;
};

/* clang-format off */
#define RM_REG(name, opcode, result, kind) \
    {name, opcode, 1, 0, 0, REGISTERS, REG, W32_64, NO_IMM, 0, result, kind}
#define LOCKED(name, opcode, result) \
    {name, opcode, 1, 0, 1, MEMORY, REG, W32_64, NO_IMM, ACCESS_UPDATE, result, KIND_PLAIN}
#define ALU_LOAD(name, opcode) \
    {name, opcode, 1, 0, 0, MEMORY, REG, W32_64, NO_IMM, ACCESS_LOAD, RESULT_REG, KIND_ALU}
#define SHIFT_VEX(name, pp) \
    {name, MAP_0F38 | 0xf7, 1, pp, 0, REGISTERS, REG, W32_64, NO_IMM, 0, RESULT_REG, KIND_PLAIN}

static const struct decode_form forms[] = {
    /* two registers */
    RM_REG("add",  0x01, RESULT_RM, KIND_ALU),
    RM_REG("or",   0x09, RESULT_RM, KIND_ALU),
    RM_REG("and",  0x21, RESULT_RM, KIND_ALU),
    RM_REG("sub",  0x29, RESULT_RM, KIND_ALU),
    RM_REG("xor",  0x31, RESULT_RM, KIND_ALU),
    RM_REG("cmp",  0x39, RESULT_NONE, KIND_ALU),
    RM_REG("test", 0x85, RESULT_NONE, KIND_TEST),
    RM_REG("mov",  0x89, RESULT_RM, KIND_MOV),
    RM_REG("imul", MAP_0F | 0xaf, RESULT_REG, KIND_PLAIN),
    {"cmov", MAP_0F | 0x40, 16, 0, 0, REGISTERS, REG, W32_64, NO_IMM, 0, RESULT_REG, KIND_CMOV},
    {"setcc", MAP_0F | 0x90, 16, 0, 0, REGISTERS, N(0), W8, NO_IMM, 0, RESULT_RM, KIND_PLAIN},
    SHIFT_VEX("shlx", VEX_66),
    SHIFT_VEX("sarx", VEX_F3),
    SHIFT_VEX("shrx", VEX_F2),
    {"movzx b", MAP_0F | 0xb6, 1, 0, 0, REGISTERS, REG, W32, NO_IMM, 0, RESULT_REG, KIND_PLAIN},
    {"movzx w", MAP_0F | 0xb7, 1, 0, 0, REGISTERS, REG, W32, NO_IMM, 0, RESULT_REG, KIND_PLAIN},
    {"movsx b", MAP_0F | 0xbe, 1, 0, 0, REGISTERS, REG, W32_64, NO_IMM, 0, RESULT_REG, KIND_PLAIN},
    {"movsx w", MAP_0F | 0xbf, 1, 0, 0, REGISTERS, REG, W32_64, NO_IMM, 0, RESULT_REG, KIND_PLAIN},
    {"movsxd",  0x63, 1, 0, 0, REGISTERS, REG, W64, NO_IMM, 0, RESULT_REG, KIND_PLAIN},
    /* a register, perhaps a number */
    {"alu imm8",  0x83, 1, 0, 0, REGISTERS, DIGITS_WRITE, W32_64, IMM8, 0, RESULT_RM, KIND_ALU},
    {"alu imm32", 0x81, 1, 0, 0, REGISTERS, DIGITS_WRITE, W32_64, IMM32, 0, RESULT_RM, KIND_ALU},
    {"cmp imm8",  0x83, 1, 0, 0, REGISTERS, N(X86_CMP), W32_64, IMM8, 0, RESULT_NONE, KIND_ALU},
    {"cmp imm32", 0x81, 1, 0, 0, REGISTERS, N(X86_CMP), W32_64, IMM32, 0, RESULT_NONE, KIND_ALU},
    {"mov simm",  0xc7, 1, 0, 0, REGISTERS, N(0), W64, IMM32, 0, RESULT_RM, KIND_MOV_IMM},
    {"mov imm",   0xb8, 8, 0, 0, IN_OPCODE, 0, W32_64, IMM_ALL, 0, RESULT_RM, KIND_MOV_IMM},
    {"test imm8", 0xf6, 1, 0, 0, REGISTERS, N(0), W8, IMM8, 0, RESULT_NONE, KIND_PLAIN},
    {"test imm",  0xf7, 1, 0, 0, REGISTERS, N(0), W32_64, IMM32, 0, RESULT_NONE, KIND_PLAIN},
    {"neg",       0xf7, 1, 0, 0, REGISTERS, N(3), W32_64, NO_IMM, 0, RESULT_RM, KIND_PLAIN},
    {"mul or div", 0xf7, 1, 0, 0, REGISTERS, N(4) | N(6) | N(7), W32_64, NO_IMM, 0, RESULT_RAX_RDX,
     KIND_PLAIN},
    {"imul imm8",  0x6b, 1, 0, 0, REGISTERS, REG, W32_64, IMM8, 0, RESULT_REG, KIND_PLAIN},
    {"imul imm32", 0x69, 1, 0, 0, REGISTERS, REG, W32_64, IMM32, 0, RESULT_REG, KIND_PLAIN},
    {"cdq",   0x99, 1, 0, 0, NO_OPERAND, 0, W32_64, NO_IMM, 0, RESULT_RDX, KIND_PLAIN},
    {"bswap", MAP_0F | 0xc8, 8, 0, 0, IN_OPCODE, 0, W32_64, NO_IMM, 0, RESULT_RM, KIND_PLAIN},
    {"shift imm", 0xc1, 1, 0, 0, REGISTERS, DIGITS_SHIFT, W32_64, IMM8, 0, RESULT_RM, KIND_PLAIN},
    {"shift cl",  0xd3, 1, 0, 0, REGISTERS, DIGITS_SHIFT, W32_64, NO_IMM, 0, RESULT_RM, KIND_PLAIN},
    /* memory */
    {"load",    0x8b, 1, 0, 0, MEMORY, REG, W32_64, NO_IMM, ACCESS_LOAD, RESULT_REG, KIND_PLAIN},
    {"load b",  MAP_0F | 0xb6, 1, 0, 0, MEMORY, REG, W32, NO_IMM, ACCESS_LOAD, RESULT_REG,
     KIND_PLAIN},
    {"load w",  MAP_0F | 0xb7, 1, 0, 0, MEMORY, REG, W32, NO_IMM, ACCESS_LOAD, RESULT_REG,
     KIND_PLAIN},
    {"loads b", MAP_0F | 0xbe, 1, 0, 0, MEMORY, REG, W64, NO_IMM, ACCESS_LOAD, RESULT_REG,
     KIND_PLAIN},
    {"loads w", MAP_0F | 0xbf, 1, 0, 0, MEMORY, REG, W64, NO_IMM, ACCESS_LOAD, RESULT_REG,
     KIND_PLAIN},
    {"loads d", 0x63, 1, 0, 0, MEMORY, REG, W64, NO_IMM, ACCESS_LOAD, RESULT_REG, KIND_PLAIN},
    {"store b", 0x88, 1, 0, 0, MEMORY, REG, W8, NO_IMM, ACCESS_STORE, RESULT_NONE, KIND_PLAIN},
    {"store",   0x89, 1, 0, 0, MEMORY, REG, W16_64, NO_IMM, ACCESS_STORE, RESULT_NONE, KIND_PLAIN},
    {"store imm8", 0xc6, 1, 0, 0, MEMORY, N(0), W8, IMM8, ACCESS_STORE, RESULT_NONE, KIND_PLAIN},
    {"store imm",  0xc7, 1, 0, 0, MEMORY, N(0), W16_64, IMM_WIDTH, ACCESS_STORE, RESULT_NONE,
     KIND_PLAIN},
    ALU_LOAD("add load", 0x03),
    ALU_LOAD("or load",  0x0b),
    ALU_LOAD("and load", 0x23),
    ALU_LOAD("sub load", 0x2b),
    ALU_LOAD("xor load", 0x33),
    {"alu mem imm8", 0x83, 1, 0, 0, MEMORY, N(X86_ADD) | N(X86_SUB), W32, IMM8, ACCESS_UPDATE,
     RESULT_NONE, KIND_ALU},
    {"cmp mem imm8", 0x83, 1, 0, 0, MEMORY, N(X86_CMP), W32, IMM8, ACCESS_LOAD, RESULT_NONE,
     KIND_ALU},
    {"lea",  0x8d, 1, 0, 0, MEMORY, REG, W32_64, NO_IMM, ACCESS_ADDRESS, RESULT_REG, KIND_PLAIN},
    {"xchg", 0x87, 1, 0, 0, MEMORY, REG, W32_64, NO_IMM, ACCESS_UPDATE, RESULT_REG, KIND_PLAIN},
    LOCKED("lock add", 0x01, RESULT_NONE),
    LOCKED("lock or",  0x09, RESULT_NONE),
    LOCKED("lock and", 0x21, RESULT_NONE),
    LOCKED("lock xor", 0x31, RESULT_NONE),
    LOCKED("lock xadd",    MAP_0F | 0xc1, RESULT_REG),
    LOCKED("lock cmpxchg", MAP_0F | 0xb1, RESULT_RAX),
    {"nop",  MAP_0F | 0x1f, 1, 0, 0, MEMORY, N(0), W32, NO_IMM, ACCESS_NONE, RESULT_NONE, KIND_PLAIN},
    /* stack and control */
    {"push",      0x50, 8, 0, 0, IN_OPCODE, 0, W32, NO_IMM, 0, RESULT_NONE, KIND_PUSH},
    {"pop",       0x58, 8, 0, 0, IN_OPCODE, 0, W32, NO_IMM, 0, RESULT_NONE, KIND_POP},
    {"push imm8", 0x6a, 1, 0, 0, NO_OPERAND, 0, W32, IMM8, 0, RESULT_NONE, KIND_PUSH_IMM},
    {"push imm",  0x68, 1, 0, 0, NO_OPERAND, 0, W32, IMM32, 0, RESULT_NONE, KIND_PUSH_IMM},
    {"jmp short", 0xeb, 1, 0, 0, NO_OPERAND, 0, W32, IMM8, 0, RESULT_NONE, KIND_JMP},
    {"jmp",       0xe9, 1, 0, 0, NO_OPERAND, 0, W32, IMM32, 0, RESULT_NONE, KIND_JMP},
    {"jcc short", 0x70, 16, 0, 0, NO_OPERAND, 0, W32, IMM8, 0, RESULT_NONE, KIND_JCC},
    {"jcc",       MAP_0F | 0x80, 16, 0, 0, NO_OPERAND, 0, W32, IMM32, 0, RESULT_NONE, KIND_JCC},
    {"call",      0xe8, 1, 0, 0, NO_OPERAND, 0, W32, IMM32, 0, RESULT_NONE, KIND_CALL},
    {"call reg",  0xff, 1, 0, 0, REGISTERS, N(2), W32, NO_IMM, 0, RESULT_NONE, KIND_CALL_REG},
    {"ret",       0xc3, 1, 0, 0, NO_OPERAND, 0, W32, NO_IMM, 0, RESULT_NONE, KIND_RET},
    {"int3",      0xcc, 1, 0, 0, NO_OPERAND, 0, W32, NO_IMM, 0, RESULT_NONE, KIND_TRAP},
};
/* clang-format on */
#define FORM_COUNT (sizeof(forms) / sizeof(*forms))

/* ---- bytes ---------------------------------------------------------------------------------- */

struct input {
    const uint8_t *bytes;
    size_t left;
    size_t at;
    bool ended; /* a byte was wanted behind the end */
    bool gs, lock, narrow, wide, rex;
    uint8_t high_reg, high_index, high_rm; /* 0 or 8 */
    uint8_t vex, vvvv;
    uint16_t opcode;
};

static uint8_t peek(const struct input *in)
{
    return in->at < in->left ? in->bytes[in->at] : 0;
}

static uint8_t next(struct input *in)
{
    in->ended |= in->at >= in->left;
    return in->ended ? 0 : in->bytes[in->at++];
}

static int64_t next_signed(struct input *in, unsigned bytes)
{
    uint64_t value = 0;
    if (bytes == 0) {
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)next(in) << (8 * i);
    }
    unsigned unused = 64 - 8 * bytes;
    return (int64_t)(value << unused) >> unused;
}

static bool take(struct input *in, uint8_t prefix)
{
    if (peek(in) != prefix) {
        return false;
    }
    next(in);
    return true;
}

static void read_vex(struct input *in)
{
    uint8_t a = next(in), b = next(in);
    in->high_reg = a & 0x80 ? 0 : 8;
    in->high_index = a & 0x40 ? 0 : 8;
    in->high_rm = a & 0x20 ? 0 : 8;
    in->wide = (b & 0x80) != 0;
    in->vvvv = ~(b >> 3) & 15;
    in->vex = b & 3;
    bool known = (a & 0x1f) == 2 && (b & 4) == 0 && in->vex != VEX_NONE;
    in->ended |= !known;
    in->opcode = (uint16_t)(MAP_0F38 | next(in));
}

static void read_opcode(struct input *in)
{
    in->vvvv = X86_NO_REG;
    if (take(in, 0x65)) {
        in->gs = take(in, 0x67);
        in->ended |= !in->gs;
    }
    in->lock = take(in, 0xf0);
    in->narrow = take(in, 0x66);
    if (!in->gs && !in->lock && !in->narrow && take(in, 0xc4)) {
        read_vex(in);
        return;
    }
    if ((peek(in) & 0xf0) == 0x40) {
        uint8_t rex = next(in);
        in->rex = true;
        in->wide = (rex & 8) != 0;
        in->high_reg = rex & 4 ? 8 : 0;
        in->high_index = rex & 2 ? 8 : 0;
        in->high_rm = rex & 1 ? 8 : 0;
    }
    uint16_t map = take(in, 0x0f) ? MAP_0F : MAP_ONE;
    in->opcode = (uint16_t)(map | next(in));
}

/* ---- the table ------------------------------------------------------------------------------ */

static uint8_t width_bit(const struct input *in, const struct decode_form *f)
{
    if (f->widths == W8) {
        return in->wide || in->narrow ? 0 : W8;
    }
    if (in->narrow) {
        return in->wide ? 0 : W16;
    }
    return in->wide ? W64 : W32;
}

static bool fits(const struct input *in, const struct decode_form *f)
{
    uint8_t modrm = peek(in);
    unsigned digit = modrm >> 3 & 7;
    if (in->opcode < f->opcode || in->opcode >= f->opcode + f->span || in->lock != f->lock ||
        in->vex != f->vex || (width_bit(in, f) & f->widths) == 0) {
        return false;
    }
    if (f->operands == REGISTERS || f->operands == MEMORY) {
        return (modrm >> 6 == 3) == (f->operands == REGISTERS) &&
               (f->digits == REG || (f->digits >> digit & 1) != 0);
    }
    return true;
}

static const struct decode_form *find(const struct input *in)
{
    for (size_t i = 0; i < FORM_COUNT; i++) {
        if (fits(in, &forms[i])) {
            return &forms[i];
        }
    }
    return NULL;
}

/* ---- operands ------------------------------------------------------------------------------- */

static void read_memory(struct input *in, uint8_t modrm, struct decoded *d)
{
    unsigned mod = modrm >> 6, low = modrm & 7;
    d->index = X86_NO_REG;
    d->base = (uint8_t)(in->high_rm | low);
    if (low == X86_RSP) {
        uint8_t sib = next(in);
        low = sib & 7;
        d->base = (uint8_t)(in->high_rm | low);
        d->index = (uint8_t)(in->high_index | (sib >> 3 & 7));
        d->index = d->index == X86_RSP ? X86_NO_REG : d->index;
        d->scale = sib >> 6;
        if (mod == 0 && low == X86_RBP) {
            d->base = X86_NO_REG;
            mod = 2;
        }
    } else if (mod == 0 && low == X86_RBP) {
        d->rip = true;
        mod = 2;
    }
    d->disp = (int32_t)next_signed(in, mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

static void read_operands(struct input *in, const struct decode_form *f, struct decoded *d)
{
    if (f->operands == IN_OPCODE) {
        d->has_rm = true;
        d->rm = (uint8_t)(in->high_rm | (in->opcode & 7));
    }
    if (f->operands != REGISTERS && f->operands != MEMORY) {
        return;
    }
    uint8_t modrm = next(in);
    unsigned field = modrm >> 3 & 7;
    d->has_reg = f->digits == REG;
    d->reg = (uint8_t)(in->high_reg | field);
    d->alu = (uint8_t)(d->has_reg ? (f->opcode & 0xff) >> 3 : field);
    if (f->operands == MEMORY) {
        read_memory(in, modrm, d);
    } else {
        d->has_rm = true;
        d->rm = (uint8_t)(in->high_rm | (modrm & 7));
    }
}

/* Without a REX prefix, four byte registers are the second bytes of others. */
static bool is_second_byte(const struct input *in, const struct decode_form *f, uint8_t rm)
{
    return f->widths == W8 && f->result == RESULT_RM && !in->rex && rm >= X86_RSP;
}

static unsigned imm_bytes(const struct decode_form *f, uint8_t width)
{
    switch ((enum immediate)f->imm) {
    case NO_IMM: return 0;
    case IMM8: return 1;
    case IMM32: return 4;
    case IMM_WIDTH: return width == 16 ? 2 : 4;
    case IMM_ALL: return width / 8;
    }
    return 0;
}

bool decode_one(const uint8_t *bytes, size_t left, struct decoded *out)
{
    struct input in = {.bytes = bytes, .left = left};
    read_opcode(&in);
    const struct decode_form *f = find(&in);
    if (f == NULL || in.ended ||
        (in.gs && (f->access == ACCESS_NONE || f->access == ACCESS_ADDRESS))) {
        return false;
    }
    uint8_t bit = width_bit(&in, f);
    *out = (struct decoded){.name = f->name,
                            .kind = (enum decode_kind)f->kind,
                            .access = (enum decode_access)f->access,
                            .result = (enum decode_result)f->result,
                            .width = (uint8_t)(8 * bit),
                            .cond = in.opcode & 15,
                            .has_imm = f->imm != NO_IMM,
                            .vvvv = in.vvvv,
                            .gs = in.gs};
    read_operands(&in, f, out);
    if (is_second_byte(&in, f, out->rm)) {
        return false;
    }
    out->imm = next_signed(&in, imm_bytes(f, out->width));
    if (f->imm == IMM_ALL && out->width == 32) {
        out->imm = (uint32_t)out->imm;
    }
    out->size = (uint8_t)in.at;
    return !in.ended;
}

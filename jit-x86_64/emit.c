/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding of one instruction at a time. `encode` writes prefixes, REX, opcode, ModRM, SIB,
 * displacement and immediate; the rest of the file says which opcode is meant.
 *
 * Three registers have odd encodings, and `put_memory` is the one place that knows: rsp and r12 as
 * base need a SIB byte, rbp and r13 as base need a displacement, and what looks like rbp without
 * one means no base at all. spl..dil need a REX prefix, else
 * they mean ah..bh.
 */
#include "jit-x86_64/emit.h"
#include "vm/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define INSTRUCTION_BYTES_MAX 16u
#define CAPACITY_FIRST        4096u
#define ESCAPE                0x0f00 /* two-byte opcodes are written 0x0fxx */

struct bytes {
    uint8_t b[INSTRUCTION_BYTES_MAX];
    unsigned count;
};

/* What an instruction looks like apart from its operands. */
struct shape {
    uint16_t opcode;
    uint8_t width;     /* 16 puts the 66 prefix, 64 REX.W */
    uint8_t imm_bytes; /* 0, 1, 2 or 4 */
    bool lock;
    bool byte_reg; /* the reg field names a byte register */
    bool byte_rm;  /* so does the rm field */
};

void emit_init(struct emit *e, size_t bytes_max)
{
    *e = (struct emit){.bytes_max = bytes_max};
}

void emit_free(struct emit *e)
{
    vm_release(e->bytes);
    e->bytes = NULL;
    e->count = e->capacity = 0;
}

static bool reserve(struct emit *e, size_t more)
{
    if (e->error != VM_ERROR_OK) {
        return false;
    }
    if (more > e->bytes_max - e->count) {
        e->error = VM_ERROR_TOO_LARGE;
        return false;
    }
    if (more <= e->capacity - e->count) {
        return true;
    }
    size_t capacity = e->capacity == 0 ? CAPACITY_FIRST : 2 * e->capacity;
    uint8_t *bytes = vm_reallocate(e->bytes, capacity);
    if (bytes == NULL) {
        e->error = VM_ERROR_NO_MEMORY;
        return false;
    }
    e->bytes = bytes;
    e->capacity = capacity;
    return true;
}

static void append(struct emit *e, const struct bytes *in)
{
    assert(in->count <= INSTRUCTION_BYTES_MAX);
    if (reserve(e, in->count)) {
        memcpy(e->bytes + e->count, in->b, in->count);
        e->count += in->count;
    }
}

static void put(struct bytes *out, unsigned byte)
{
    out->b[out->count++] = (uint8_t)byte;
}

static void put_le(struct bytes *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        put(out, (unsigned)(value >> (8 * i)) & 0xff);
    }
}

static bool fits8(int64_t value)
{
    return value == (int8_t)value;
}

static bool fits32(int64_t value)
{
    return value == (int32_t)value;
}

static bool needs_rex_as_byte(unsigned reg)
{
    return reg >= X86_RSP && reg <= X86_RDI;
}

static void put_head(struct bytes *out, struct shape shape, unsigned reg, unsigned index,
                     unsigned rm, bool rex_forced)
{
    assert(reg < X86_NO_REG && index < X86_NO_REG && rm < X86_NO_REG);
    if (shape.lock) {
        put(out, 0xf0);
    }
    if (shape.width == 16) {
        put(out, 0x66);
    }
    unsigned rex = (shape.width == 64 ? 8u : 0u) | (reg >> 3) << 2 | (index >> 3) << 1 | (rm >> 3);
    if (rex != 0 || rex_forced) {
        put(out, 0x40 | rex);
    }
    if (shape.opcode >= ESCAPE) {
        put(out, 0x0f);
    }
    put(out, shape.opcode & 0xff);
}

static void put_memory(struct bytes *out, unsigned reg, struct x86_mem mem)
{
    bool sib = mem.index != X86_NO_REG || (mem.base & 7) == X86_RSP;
    unsigned mod = 2;
    if (mem.base == X86_NO_REG) {
        put(out, (reg & 7) << 3 | 4u);
        put(out, (unsigned)mem.scale << 6 | (mem.index & 7u) << 3 | X86_RBP);
        put_le(out, (uint32_t)mem.disp, 4);
        return;
    }
    if (mem.disp == 0 && (mem.base & 7) != X86_RBP) {
        mod = 0;
    } else if (fits8(mem.disp)) {
        mod = 1;
    }
    put(out, mod << 6 | (reg & 7) << 3 | (sib ? 4u : (mem.base & 7u)));
    if (sib) {
        unsigned index = mem.index == X86_NO_REG ? 4u : (mem.index & 7u);
        put(out, (unsigned)mem.scale << 6 | index << 3 | (mem.base & 7u));
    }
    if (mod != 0) {
        put_le(out, (uint32_t)mem.disp, mod == 1 ? 1 : 4);
    }
}

static void encode(struct emit *e, struct shape shape, unsigned reg, enum x86_reg rm, int32_t imm)
{
    struct bytes out = {.count = 0};
    bool forced =
        (shape.byte_reg && needs_rex_as_byte(reg)) || (shape.byte_rm && needs_rex_as_byte(rm));
    put_head(&out, shape, reg, 0, rm, forced);
    put(&out, 3u << 6 | (reg & 7) << 3 | (rm & 7u));
    put_le(&out, (uint32_t)imm, shape.imm_bytes);
    append(e, &out);
}

static void encode_mem(struct emit *e, struct shape shape, unsigned reg, struct x86_mem mem,
                       int32_t imm)
{
    struct bytes out = {.count = 0};
    assert(mem.index != X86_RSP);
    assert(mem.base != X86_NO_REG || mem.index != X86_NO_REG);
    bool forced = shape.byte_reg && needs_rex_as_byte(reg);
    if (mem.gs) {
        put(&out, 0x65);
        put(&out, 0x67);
        e->uses_gs = true;
    }
    unsigned index = mem.index == X86_NO_REG ? 0 : mem.index;
    put_head(&out, shape, reg, index, mem.base == X86_NO_REG ? 0 : mem.base, forced);
    put_memory(&out, reg, mem);
    put_le(&out, (uint32_t)imm, shape.imm_bytes);
    append(e, &out);
}

/* ---- registers ---------------------------------------------------------------------------- */

void emit_mov(struct emit *e, unsigned width, enum x86_reg dst, enum x86_reg src)
{
    encode(e, (struct shape){.opcode = 0x89, .width = (uint8_t)width}, src, dst, 0);
}

void emit_mov_imm(struct emit *e, enum x86_reg dst, uint64_t value)
{
    struct bytes out = {.count = 0};
    if (value == 0) {
        emit_alu(e, X86_XOR, 32, dst, dst);
    } else if (value > UINT32_MAX && fits32((int64_t)value)) {
        struct shape shape = {.opcode = 0xc7, .width = 64, .imm_bytes = 4};
        encode(e, shape, 0, dst, (int32_t)value);
    } else {
        bool wide = value > UINT32_MAX;
        struct shape shape = {.opcode = (uint16_t)(0xb8 | (dst & 7)), .width = wide ? 64 : 32};
        put_head(&out, shape, 0, 0, dst, false);
        put_le(&out, value, wide ? 8 : 4);
        append(e, &out);
    }
}

void emit_movzx(struct emit *e, unsigned from, enum x86_reg dst, enum x86_reg src)
{
    assert(from == 8 || from == 16);
    uint16_t opcode = from == 8 ? 0x0fb6 : 0x0fb7;
    encode(e, (struct shape){.opcode = opcode, .width = 32, .byte_rm = from == 8}, dst, src, 0);
}

static uint16_t movsx_opcode(unsigned from)
{
    assert(from == 8 || from == 16 || from == 32);
    return from == 8 ? 0x0fbe : from == 16 ? 0x0fbf : 0x63;
}

void emit_movsx(struct emit *e, unsigned width, unsigned from, enum x86_reg dst, enum x86_reg src)
{
    struct shape shape = {
        .opcode = movsx_opcode(from), .width = (uint8_t)width, .byte_rm = from == 8};
    encode(e, shape, dst, src, 0);
}

void emit_alu(struct emit *e, enum x86_alu alu, unsigned width, enum x86_reg dst, enum x86_reg src)
{
    uint16_t opcode = (uint16_t)(8 * alu + 1);
    encode(e, (struct shape){.opcode = opcode, .width = (uint8_t)width}, src, dst, 0);
}

static struct shape alu_imm_shape(unsigned width, int32_t imm)
{
    bool narrow = fits8(imm);
    return (struct shape){
        .opcode = narrow ? 0x83 : 0x81, .width = (uint8_t)width, .imm_bytes = narrow ? 1 : 4};
}

void emit_alu_imm(struct emit *e, enum x86_alu alu, unsigned width, enum x86_reg dst, int32_t imm)
{
    encode(e, alu_imm_shape(width, imm), alu, dst, imm);
}

void emit_cmov(struct emit *e, enum x86_cond cond, unsigned width, enum x86_reg dst,
               enum x86_reg src)
{
    struct shape shape = {.opcode = (uint16_t)(0x0f40 | cond), .width = (uint8_t)width};
    encode(e, shape, dst, src, 0);
}

void emit_set(struct emit *e, enum x86_cond cond, enum x86_reg reg)
{
    struct shape shape = {.opcode = (uint16_t)(0x0f90 | cond), .width = 8, .byte_rm = true};
    encode(e, shape, 0, reg, 0);
}

void emit_test(struct emit *e, unsigned width, enum x86_reg a, enum x86_reg b)
{
    encode(e, (struct shape){.opcode = 0x85, .width = (uint8_t)width}, b, a, 0);
}

void emit_test_imm(struct emit *e, unsigned width, enum x86_reg reg, int32_t imm)
{
    /* The byte form sees the same bits and the same zero flag when the sign bit is clear. */
    if (imm >= 0 && imm <= INT8_MAX) {
        encode(e, (struct shape){.opcode = 0xf6, .width = 8, .imm_bytes = 1, .byte_rm = true}, 0,
               reg, imm);
        return;
    }
    encode(e, (struct shape){.opcode = 0xf7, .width = (uint8_t)width, .imm_bytes = 4}, 0, reg, imm);
}

void emit_imul(struct emit *e, unsigned width, enum x86_reg dst, enum x86_reg src)
{
    encode(e, (struct shape){.opcode = 0x0faf, .width = (uint8_t)width}, dst, src, 0);
}

void emit_imul_imm(struct emit *e, unsigned width, enum x86_reg dst, enum x86_reg src, int32_t imm)
{
    bool narrow = fits8(imm);
    struct shape shape = {
        .opcode = narrow ? 0x6b : 0x69, .width = (uint8_t)width, .imm_bytes = narrow ? 1 : 4};
    encode(e, shape, dst, src, imm);
}

void emit_neg(struct emit *e, unsigned width, enum x86_reg reg)
{
    encode(e, (struct shape){.opcode = 0xf7, .width = (uint8_t)width}, 3, reg, 0);
}

void emit_mul_wide(struct emit *e, unsigned width, enum x86_reg reg)
{
    encode(e, (struct shape){.opcode = 0xf7, .width = (uint8_t)width}, 4, reg, 0);
}

void emit_div(struct emit *e, unsigned width, bool sign, enum x86_reg reg)
{
    encode(e, (struct shape){.opcode = 0xf7, .width = (uint8_t)width}, sign ? 7 : 6, reg, 0);
}

void emit_sign_rdx(struct emit *e, unsigned width)
{
    struct bytes out = {.count = 0};
    put_head(&out, (struct shape){.opcode = 0x99, .width = (uint8_t)width}, 0, 0, 0, false);
    append(e, &out);
}

void emit_bswap(struct emit *e, unsigned width, enum x86_reg reg)
{
    struct bytes out = {.count = 0};
    struct shape shape = {.opcode = (uint16_t)(0x0fc8 | (reg & 7)), .width = (uint8_t)width};
    put_head(&out, shape, 0, 0, reg, false);
    append(e, &out);
}

void emit_shift_imm(struct emit *e, enum x86_shift shift, unsigned width, enum x86_reg reg,
                    uint8_t count)
{
    assert(count < width);
    struct shape shape = {.opcode = 0xc1, .width = (uint8_t)width, .imm_bytes = 1};
    encode(e, shape, shift, reg, count);
}

void emit_shift_cl(struct emit *e, enum x86_shift shift, unsigned width, enum x86_reg reg)
{
    encode(e, (struct shape){.opcode = 0xd3, .width = (uint8_t)width}, shift, reg, 0);
}

void emit_shift_reg(struct emit *e, enum x86_shift shift, unsigned width, enum x86_reg reg,
                    enum x86_reg count)
{
    /* VEX.LZ.pp.0F38.W F7 /r: shlx is pp 66, sarx F3, shrx F2; vvvv holds the count's register. */
    assert(shift == X86_SHL || shift == X86_SHR || shift == X86_SAR);
    unsigned pp = shift == X86_SHL ? 1 : shift == X86_SAR ? 2 : 3;
    unsigned high = reg < X86_R8 ? 1u : 0u; /* VEX keeps the high bits of registers inverted */
    struct bytes out = {.count = 0};
    put(&out, 0xc4);
    put(&out, high << 7 | 1u << 6 | high << 5 | 2u);
    put(&out, (width == 64 ? 1u : 0u) << 7 | (~(unsigned)count & 15u) << 3 | pp);
    put(&out, 0xf7);
    put(&out, 3u << 6 | (reg & 7u) << 3 | (reg & 7u));
    append(e, &out);
}

/* ---- memory ------------------------------------------------------------------------------- */

void emit_load(struct emit *e, unsigned width, bool sign, enum x86_reg dst, struct x86_mem mem)
{
    struct shape shape = {.opcode = 0x8b, .width = (uint8_t)width};
    if (sign && width < 64) {
        shape = (struct shape){.opcode = movsx_opcode(width), .width = 64};
    } else if (width < 32) {
        shape = (struct shape){.opcode = width == 8 ? 0x0fb6 : 0x0fb7, .width = 32};
    }
    encode_mem(e, shape, dst, mem, 0);
}

void emit_store(struct emit *e, unsigned width, struct x86_mem mem, enum x86_reg src)
{
    struct shape shape = {
        .opcode = width == 8 ? 0x88 : 0x89, .width = (uint8_t)width, .byte_reg = width == 8};
    encode_mem(e, shape, src, mem, 0);
}

void emit_store_imm(struct emit *e, unsigned width, struct x86_mem mem, int32_t imm)
{
    struct shape shape = {.opcode = width == 8 ? 0xc6 : 0xc7,
                          .width = (uint8_t)width,
                          .imm_bytes = (uint8_t)(width < 32 ? width / 8 : 4)};
    encode_mem(e, shape, 0, mem, imm);
}

void emit_alu_mem(struct emit *e, enum x86_alu alu, unsigned width, enum x86_reg dst,
                  struct x86_mem mem)
{
    uint16_t opcode = (uint16_t)(8 * alu + 3);
    encode_mem(e, (struct shape){.opcode = opcode, .width = (uint8_t)width}, dst, mem, 0);
}

void emit_alu_mem_imm(struct emit *e, enum x86_alu alu, unsigned width, struct x86_mem mem,
                      int32_t imm)
{
    encode_mem(e, alu_imm_shape(width, imm), alu, mem, imm);
}

void emit_lea(struct emit *e, unsigned width, enum x86_reg dst, struct x86_mem mem)
{
    encode_mem(e, (struct shape){.opcode = 0x8d, .width = (uint8_t)width}, dst, mem, 0);
}

void emit_lock_alu(struct emit *e, enum x86_alu alu, unsigned width, struct x86_mem mem,
                   enum x86_reg src)
{
    struct shape shape = {.opcode = (uint16_t)(8 * alu + 1), .width = (uint8_t)width, .lock = true};
    encode_mem(e, shape, src, mem, 0);
}

void emit_lock_xadd(struct emit *e, unsigned width, struct x86_mem mem, enum x86_reg src)
{
    struct shape shape = {.opcode = 0x0fc1, .width = (uint8_t)width, .lock = true};
    encode_mem(e, shape, src, mem, 0);
}

void emit_lock_cmpxchg(struct emit *e, unsigned width, struct x86_mem mem, enum x86_reg src)
{
    struct shape shape = {.opcode = 0x0fb1, .width = (uint8_t)width, .lock = true};
    encode_mem(e, shape, src, mem, 0);
}

void emit_xchg(struct emit *e, unsigned width, struct x86_mem mem, enum x86_reg src)
{
    /* Locked without a prefix when one side is memory. */
    encode_mem(e, (struct shape){.opcode = 0x87, .width = (uint8_t)width}, src, mem, 0);
}

/* nop takes an operand that it does not look at, for the sake of its length. */
void emit_nops(struct emit *e, size_t bytes)
{
    static const uint8_t longest[] = {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0};
    static const uint8_t modrm[] = {[3] = 0x00, [4] = 0x40, [5] = 0x44, [7] = 0x80, [8] = 0x84};
    assert(bytes == 0 || bytes > 2);
    while (bytes != 0) {
        struct bytes out = {.count = 0};
        size_t more = bytes > 10 ? 8 : bytes > 8 ? 5 : bytes == 6 ? 3 : bytes;
        memcpy(out.b, longest, sizeof(longest));
        out.b[2] = modrm[more];
        out.count = (unsigned)more;
        append(e, &out);
        bytes -= more;
    }
}

/* ---- stack and control -------------------------------------------------------------------- */

static void stack_op(struct emit *e, unsigned opcode, enum x86_reg reg)
{
    struct bytes out = {.count = 0};
    struct shape shape = {.opcode = (uint16_t)(opcode | (reg & 7u)), .width = 32};
    put_head(&out, shape, 0, 0, reg, false);
    append(e, &out);
}

void emit_push(struct emit *e, enum x86_reg reg)
{
    stack_op(e, 0x50, reg);
}

void emit_pop(struct emit *e, enum x86_reg reg)
{
    stack_op(e, 0x58, reg);
}

void emit_push_imm(struct emit *e, int32_t imm)
{
    struct bytes out = {.count = 0};
    bool narrow = fits8(imm);
    put(&out, narrow ? 0x6a : 0x68);
    put_le(&out, (uint32_t)imm, narrow ? 1 : 4);
    append(e, &out);
}

/* Appends the displacement to `target`, counted from its own last byte, behind `out`. */
static void append_relative(struct emit *e, struct bytes *out, unsigned bytes, int64_t target)
{
    int64_t distance = target - (int64_t)(e->count + out->count + bytes);
    assert(e->error != VM_ERROR_OK || (bytes == 1 ? fits8(distance) : fits32(distance)));
    put_le(out, (uint64_t)distance, bytes);
    append(e, out);
}

void emit_lea_here(struct emit *e, enum x86_reg dst, int64_t target)
{
    struct bytes out = {.count = 0};
    put_head(&out, (struct shape){.opcode = 0x8d, .width = 64}, dst, 0, 0, false);
    put(&out, (dst & 7u) << 3 | 5u);
    append_relative(e, &out, 4, target);
}

void emit_call(struct emit *e, int64_t target)
{
    struct bytes out = {.b = {0xe8}, .count = 1};
    append_relative(e, &out, 4, target);
}

void emit_call_reg(struct emit *e, enum x86_reg reg)
{
    encode(e, (struct shape){.opcode = 0xff, .width = 32}, 2, reg, 0);
}

void emit_ret(struct emit *e)
{
    append(e, &(struct bytes){.b = {0xc3}, .count = 1});
}

void emit_int3(struct emit *e)
{
    append(e, &(struct bytes){.b = {0xcc}, .count = 1});
}

void emit_jmp(struct emit *e, bool is_short, int64_t target)
{
    struct bytes out = {.b = {is_short ? 0xeb : 0xe9}, .count = 1};
    append_relative(e, &out, is_short ? 1 : 4, target);
}

void emit_jcc(struct emit *e, enum x86_cond cond, bool is_short, int64_t target)
{
    struct bytes out = {.count = 0};
    if (is_short) {
        put(&out, 0x70u | cond);
    } else {
        put(&out, 0x0f);
        put(&out, 0x80u | cond);
    }
    append_relative(e, &out, is_short ? 1 : 4, target);
}

size_t emit_jmp_forward(struct emit *e)
{
    emit_jmp(e, true, (int64_t)e->count + EMIT_SHORT_JUMP_BYTES);
    return e->count;
}

size_t emit_jcc_forward(struct emit *e, enum x86_cond cond)
{
    emit_jcc(e, cond, true, (int64_t)e->count + EMIT_SHORT_JUMP_BYTES);
    return e->count;
}

void emit_land(struct emit *e, size_t mark)
{
    if (e->error != VM_ERROR_OK) {
        return;
    }
    size_t distance = e->count - mark;
    assert(distance <= INT8_MAX);
    e->bytes[mark - 1] = (uint8_t)distance;
}

void emit_land_near(struct emit *e, size_t end)
{
    if (e->error != VM_ERROR_OK) {
        return;
    }
    assert(end >= 4 && end <= e->count);
    int32_t distance = (int32_t)(e->count - end);
    memcpy(e->bytes + end - 4, &distance, 4);
}

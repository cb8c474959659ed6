/* SPDX-License-Identifier: Apache-2.0 */
/* The proof of compiled code: it holds for all that is compiled here, and for nothing that was
 * tampered with. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jit-x86_64/decode.h"
#include "jit-x86_64/mem.h"
#include "jit-x86_64/verify.h"
#include "jit-x86_64/x86.h"
#include "loader/loader.h"
#include "tests/support/cases.h"
#include "tests/support/generate.h"
#include "tests/support/guest.h"
#include "tests/support/verify.h"

#define FOLDER "tests/data/isa/"

/* ---- what the compiler makes ---------------------------------------------------------------- */

static unsigned verify_file(const char *path)
{
    struct t_cases cases;
    struct vm_diag diag;
    unsigned verified = 0;
    bool ok = t_cases_load(&cases, path);
    cr_assert(ok, "%s", cases.error);
    for (size_t i = 0; i < cases.count; i++) {
        struct vm_program *program = t_case_program(&cases.list[i], &diag);
        if (program == NULL) {
            continue; /* the case is about that */
        }
        cr_expect(t_verify(program, &diag), "%s: %s: %s", path, cases.list[i].name, diag.text);
        vm_program_free(program);
        verified++;
    }
    t_cases_free(&cases);
    return verified;
}

Test(jit_verify, passes_every_case)
{
    unsigned verified = 0;
    DIR *folder = opendir(FOLDER);
    cr_assert(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[300];
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof path, FOLDER "%s", entry->d_name);
            verified += verify_file(path);
        }
    }
    closedir(folder);
    cr_expect_gt(verified, 500);
}

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static struct vm_program *generated(struct t_code *code, uint64_t *seed)
{
    uint8_t bytes[600];
    struct vm_diag diag;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)next_random(seed);
    }
    t_generate(code, bytes, sizeof bytes);
    struct vm_program *program = t_generated_program(code, &diag);
    cr_assert(program, "%s", diag.text);
    return program;
}

Test(jit_verify, passes_generated_programs)
{
    static struct t_code code;
    uint64_t seed = 11;
    for (int i = 0; i < 300; i++) {
        struct vm_diag diag;
        struct vm_program *program = generated(&code, &seed);
        cr_expect(t_verify(program, &diag), "%d: %s", i, diag.text);
        vm_program_free(program);
    }
}

static const char compiled[] =
    "static unsigned long weights[4] = {3, 1, 4, 1};\n"
    "static __attribute__((noinline)) unsigned long rate(unsigned long a, unsigned b)\n"
    "{ return a / (b | 3) + b % 10 + b / 7; }\n"
    "__attribute__((section(\"request\"))) int entry(void *context)\n"
    "{\n"
    "    unsigned char text[40] = {0};\n"
    "    for (unsigned i = 0; i < sizeof text; i++) text[i] = (unsigned char)(i * 7);\n"
    "    for (unsigned i = 0; i < 40; i++) weights[text[i] & 3] += rate(text[39 - i], i);\n"
    "    __sync_fetch_and_add(&weights[1], (unsigned long)context);\n"
    "    return (int)(weights[0] ^ weights[1] ^ weights[2] ^ weights[3]);\n"
    "}\n";

Test(jit_verify, passes_compiled_c)
{
    struct vm_diag diag;
    size_t bytes;
    uint8_t *object = guest_compile(compiled, &bytes);
    struct vm_program *program = ld_load("compiled", object, bytes, &(struct ld_helpers){0}, &diag);
    cr_assert(program, "%s", diag.text);
    cr_expect(t_verify(program, &diag), "%s", diag.text);
    vm_program_free(program);
    free(object);
}

/* ---- copies that may be damaged ------------------------------------------------------------- */

struct copy {
    struct vm_program *program;
    struct vm_image *image;
    uint8_t *text;
    uintptr_t address;
    size_t bytes;
    const uint32_t *offsets;
};

static struct copy copy_of(struct vm_program *program)
{
    struct vm_diag diag;
    struct copy c = {.program = program, .image = vm_image_create(&jit_x86_64, program, &diag)};
    cr_assert(c.image, "%s", diag.text);
    const uint8_t *text = jit_code(c.image, &c.bytes, &c.offsets);
    c.address = (uintptr_t)text;
    c.text = malloc(c.bytes);
    memcpy(c.text, text, c.bytes);
    return c;
}

static void drop(struct copy *c)
{
    free(c->text);
    vm_image_free(c->image);
    vm_program_free(c->program);
}

static bool verify(const struct copy *c, struct vm_diag *diag)
{
    return jit_verify(&(struct jit_verify_input){.text = c->text,
                                                 .address = c->address,
                                                 .bytes = c->bytes,
                                                 .offsets = c->offsets,
                                                 .program = c->program,
                                                 .uses_gs = c->image->uses_gs},
                      diag);
}

static struct vm_program *assemble(const char *source)
{
    struct t_asm code;
    struct vm_diag diag;
    bool ok = t_assemble(&code, source, t_helpers, t_helper_count);
    cr_assert(ok, "%s", code.error);
    struct vm_program *program = t_program(code.insns, code.count, &diag);
    cr_assert(program, "%s", diag.text);
    t_asm_free(&code);
    return program;
}

static bool touches_fixed_register(const struct decoded *d, const struct decoded *was)
{
    return d->access != ACCESS_NONE && !d->rip && d->base != was->base;
}

/* A byte that differs may still be lawful code: another register, another number. What passes is
 * looked at again, without the proof: memory only from the arena or the table, no other stack. */
static void expect_contained(const struct copy *c)
{
    struct decoded d;
    for (size_t at = 0; at < c->bytes; at += d.size) {
        cr_assert(decode_one(c->text + at, c->bytes - at, &d));
        if (d.access != ACCESS_NONE && d.access != ACCESS_ADDRESS) {
            bool is_frame = d.base == X86_RBP && d.index == X86_NO_REG && d.scale == 0;
            cr_expect(!d.rip && (d.gs || d.base == X86_R12 || is_frame ||
                                 (d.base == X86_R10 && d.scale == 2)));
            cr_expect(d.gs || d.scale == 2 || d.disp < 0 || d.index != X86_NO_REG ||
                      d.disp <= MEM_CONSTANT_MAX);
            cr_expect(!is_frame || d.disp == (int16_t)d.disp);
        }
        if (d.result == RESULT_RM && d.has_rm) {
            cr_expect(d.rm != X86_R12 && (d.rm != X86_RBP || d.width == 32));
        }
    }
}

Test(jit_verify, refuses_or_contains_every_change_of_a_byte)
{
    static struct t_code code;
    uint64_t seed = 5;
    unsigned refused = 0, passed = 0;
    for (int round = 0; round < 8; round++) {
        struct copy c = copy_of(generated(&code, &seed));
        for (int i = 0; i < 250; i++) {
            size_t at = next_random(&seed) % c.bytes;
            uint8_t was = c.text[at];
            struct vm_diag diag;
            c.text[at] ^= (uint8_t)(1 + next_random(&seed) % 255);
            bool ok = verify(&c, &diag);
            *(ok ? &passed : &refused) += 1;
            if (ok) {
                expect_contained(&c);
            }
            c.text[at] = was;
        }
        drop(&c);
    }
    cr_expect_gt(refused, passed);
}

/* Every memory operand of real code, its base or index changed: always refused. */
static unsigned spoil_operands(struct copy *c)
{
    unsigned spoiled = 0;
    struct decoded d, changed;
    for (size_t at = 0; at < c->bytes; at += d.size) {
        cr_assert(decode_one(c->text + at, c->bytes - at, &d));
        if (d.access == ACCESS_NONE) {
            continue;
        }
        for (unsigned byte = 0; byte < d.size; byte++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                struct vm_diag diag;
                c->text[at + byte] ^= (uint8_t)(1u << bit);
                if (decode_one(c->text + at, c->bytes - at, &changed) && changed.size == d.size &&
                    touches_fixed_register(&changed, &d)) {
                    cr_expect(!verify(c, &diag), "offset %zu, byte %u, bit %u", at, byte, bit);
                    spoiled++;
                }
                c->text[at + byte] ^= (uint8_t)(1u << bit);
            }
        }
    }
    return spoiled;
}

Test(jit_verify, refuses_every_other_base)
{
    struct copy c = copy_of(assemble("ldxdw r0, [r1+8]\nstxb [r10-1], r0\nstw [r2-4], 7\n"
                                     "atomic_fetch_or [r10-16], r0\nlddw r3, &f\ncallx r3\n"
                                     "call 0\ncall f\nexit\nf:\nmov r0, 1\nexit\n"));
    struct vm_diag diag;
    cr_expect(verify(&c, &diag), "%s", diag.text);
    cr_expect_gt(spoil_operands(&c), 20);
    drop(&c);
}

/* ---- escapes by hand ------------------------------------------------------------------------ */

/* The text of a program of one instruction, whose code is replaced by `body`. */
static void expect_body_with(const char *name, const uint8_t *body, size_t bytes, bool uses_gs,
                             const char *why)
{
    struct copy c = copy_of(assemble("exit\n"));
    struct vm_diag diag = {.text = ""};
    uint32_t offsets[] = {0, (uint32_t)bytes};
    bool ok = jit_verify(&(struct jit_verify_input){.text = body,
                                                    .bytes = bytes,
                                                    .offsets = offsets,
                                                    .program = c.program,
                                                    .uses_gs = uses_gs},
                         &diag);
    if (why == NULL) {
        cr_expect(ok, "%s: %s", name, diag.text);
    } else {
        cr_expect(!ok, "%s passed", name);
        cr_expect(strstr(diag.text, why) != NULL, "%s: %s, not %s", name, diag.text, why);
    }
    drop(&c);
}

static void expect_body(const char *name, const uint8_t *body, size_t bytes, const char *why)
{
    expect_body_with(name, body, bytes, false, why);
}

#define BODY(name, why, ...)                                                                       \
    do {                                                                                           \
        static const uint8_t body[] = {__VA_ARGS__};                                               \
        expect_body(name, body, sizeof body, why);                                                 \
    } while (0)

#define FORM     "no allowed form"
#define UNKNOWN  "no instruction of the compiler"
#define MOV_R11D 0x41, 0x89, 0xfb /* mov r11d, edi */
#define RET      0xc3

Test(jit_verify, passes_the_forms_of_the_cage)
{
    BODY("nothing", NULL, RET);
    BODY("[rbp-8]", NULL, 0x48, 0x8b, 0x45, 0xf8, RET);
    BODY("mov eax, ebp", NULL, 0x89, 0xe8, RET);
    BODY("lea eax, [rbp-8]", NULL, 0x8d, 0x45, 0xf8, RET);
    BODY("[r12+r11] zero-extended", NULL, MOV_R11D, 0x4b, 0x8b, 0x04, 0x1c, RET);
}

#define LOAD_RDI 0x49, 0x8b, 0x04, 0x3c /* mov rax, [r12+rdi] */

/* A pointer that was just used may be stepped by little, once. */
Test(jit_verify, follows_pointers_that_are_stepped)
{
    BODY("up", NULL, 0x89, 0xff, LOAD_RDI, 0x48, 0x83, 0xc7, 64, LOAD_RDI, RET);
    BODY("down", NULL, 0x89, 0xff, LOAD_RDI, 0x48, 0x83, 0xef, 64, LOAD_RDI, RET);
    BODY("twice used", NULL, 0x89, 0xff, LOAD_RDI, 0x48, 0x83, 0xc7, 8, LOAD_RDI, 0x48, 0x83, 0xc7,
         8, LOAD_RDI, RET);
    BODY("unused", FORM, 0x89, 0xff, 0x48, 0x83, 0xc7, 8, LOAD_RDI, RET);
    BODY("by more", FORM, 0x89, 0xff, LOAD_RDI, 0x48, 0x83, 0xc7, 65, LOAD_RDI, RET);
    BODY("down by more", FORM, 0x89, 0xff, LOAD_RDI, 0x48, 0x83, 0xc7, 0xbf, LOAD_RDI, RET);
    BODY("twice", FORM, 0x89, 0xff, LOAD_RDI, 0x48, 0x83, 0xc7, 8, 0x48, 0x83, 0xc7, 8, LOAD_RDI,
         RET);
    BODY("by a register", FORM, 0x89, 0xff, LOAD_RDI, 0x48, 0x01, 0xf7, LOAD_RDI, RET);
    BODY("xor", FORM, 0x89, 0xff, LOAD_RDI, 0x48, 0x83, 0xf7, 8, LOAD_RDI, RET);
    BODY("overwritten", FORM, 0x89, 0xff, 0x49, 0x8b, 0x3c, 0x3c, 0x48, 0x83, 0xc7, 8, LOAD_RDI,
         RET);
}

#define BODY_GS(name, why, ...)                                                                    \
    do {                                                                                           \
        static const uint8_t body[] = {__VA_ARGS__};                                               \
        expect_body_with(name, body, sizeof body, true, why);                                      \
    } while (0)

/* Any 32 bits of address are in the segment, where it begins at the arena. */
Test(jit_verify, gs_is_the_arena_or_nothing)
{
    BODY_GS("mov rax, gs:[edi]", NULL, 0x65, 0x67, 0x48, 0x8b, 0x07, RET);
    BODY_GS("mov gs:[edi+4*esi+5], r8w", NULL, 0x65, 0x67, 0x66, 0x44, 0x89, 0x44, 0xb7, 5, RET);
    BODY("gs is not set", "gs does not begin", 0x65, 0x67, 0x48, 0x8b, 0x07, RET);
    BODY_GS("gs:[rdi]", UNKNOWN, 0x65, 0x48, 0x8b, 0x07, RET);
    BODY_GS("[edi]", UNKNOWN, 0x67, 0x48, 0x8b, 0x07, RET);
    BODY_GS("fs:[edi]", UNKNOWN, 0x64, 0x67, 0x48, 0x8b, 0x07, RET);
    BODY_GS("mov rax, [rdi]", FORM, 0x48, 0x8b, 0x07, RET);
    BODY_GS("lea rax, gs:[edi]", UNKNOWN, 0x65, 0x67, 0x48, 0x8d, 0x07, RET);
    BODY_GS("mov eax, gs:[eip]", "gs does not begin", 0x65, 0x67, 0x8b, 0x05, 0, 0, 0, 0, RET);
    BODY_GS("mov rax, gs:edi", UNKNOWN, 0x65, 0x67, 0x48, 0x89, 0xf8, RET);
    BODY_GS("wrgsbase rdi", UNKNOWN, 0xf3, 0x48, 0x0f, 0xae, 0xdf, RET);
    BODY_GS("mov gs, edi", UNKNOWN, 0x8e, 0xef, RET);
}

Test(jit_verify, refuses_memory_outside_the_cage)
{
    BODY("mov rax, [rdi]", FORM, 0x48, 0x8b, 0x07, RET);
    BODY("mov [rdi], rax", FORM, 0x48, 0x89, 0x07, RET);
    BODY("[r12+r11] unproven", FORM, 0x4b, 0x8b, 0x04, 0x1c, RET);
    BODY("[r12+rax]", FORM, 0x49, 0x8b, 0x04, 0x04, RET);
    BODY("mov r11, rdi", FORM, 0x49, 0x89, 0xfb, 0x4b, 0x8b, 0x04, 0x1c, RET);
    BODY("r11 widened again", FORM, MOV_R11D, 0x49, 0x01, 0xfb, 0x4b, 0x8b, 0x04, 0x1c, RET);
    BODY("[r12+r11*2]", FORM, MOV_R11D, 0x4b, 0x8b, 0x04, 0x5c, RET);
    BODY("[r12+rbp-8]", FORM, 0x49, 0x8b, 0x44, 0x2c, 0xf8, RET);
    BODY("[rbp+0x8000]", FORM, 0x48, 0x8b, 0x85, 0, 0x80, 0, 0, RET);
    BODY("[rbp+rdi]", FORM, 0x48, 0x8b, 0x44, 0x3d, 0, RET);
    BODY("[r12-8]", FORM, 0x49, 0x8b, 0x44, 0x24, 0xf8, RET);
    BODY("store to context.base", FORM, 0x4d, 0x89, 0x84, 0x24, 0x38, 0, 0xfe, 0xff, RET);
    BODY("load of context.args", FORM, 0x49, 0x8b, 0x84, 0x24, 0, 0, 0xfe, 0xff, RET);
    BODY("[rsp]", FORM, 0x48, 0x8b, 0x04, 0x24, RET);
    BODY("[rip]", "table of functions", 0x48, 0x8d, 0x05, 0, 0, 0, 0, RET);
    BODY("absolute", FORM, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, RET);
    BODY("fs segment", UNKNOWN, 0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, RET);
    BODY("r11 proven on one way only", FORM, 0x48, 0x85, 0xff, 0x74, 0x03, MOV_R11D, 0x4b, 0x8b,
         0x04, 0x1c, RET);
}

Test(jit_verify, refuses_foreign_instructions)
{
    BODY("syscall", UNKNOWN, 0x0f, 0x05, RET);
    BODY("wrmsr", UNKNOWN, 0x0f, 0x30, RET);
    BODY("int 0x80", UNKNOWN, 0xcd, 0x80, RET);
    BODY("jmp rax", UNKNOWN, 0xff, 0xe0);
    BODY("call [rdi]", UNKNOWN, 0xff, 0x17, RET);
    BODY("rep movsb", UNKNOWN, 0xf3, 0xa4, RET);
    BODY("std", UNKNOWN, 0xfd, RET);
    BODY("hlt", UNKNOWN, 0xf4, RET);
    BODY("movaps xmm0, xmm1", UNKNOWN, 0x0f, 0x28, 0xc1, RET);
    BODY("ret 8", UNKNOWN, 0xc2, 8, 0);
    BODY("leave", UNKNOWN, 0xc9, RET);
    BODY("cut short", UNKNOWN, 0x48, 0x81, 0xc0, 1);
}

Test(jit_verify, refuses_writes_to_fixed_registers)
{
    BODY("mov r12, rdi", "r12", 0x49, 0x89, 0xfc, RET);
    BODY("mov r12, imm", "r12", 0x49, 0xc7, 0xc4, 0, 0, 0, 0, RET);
    BODY("xor r12d, r12d", "r12", 0x45, 0x31, 0xe4, RET);
    BODY("mov rax, r12", "r12", 0x4c, 0x89, 0xe0, RET);
    BODY("mov rbp, rdi", "rbp", 0x48, 0x89, 0xfd, RET);
    BODY("sub rbp, 0", "rbp", 0x48, 0x83, 0xed, 0, RET);
    BODY("bswap rbp", "rbp", 0x48, 0x0f, 0xcd, RET);
    BODY("mov rbp, [rbp]", "rbp", 0x48, 0x8b, 0x6d, 0, RET);
    BODY("mov ebp, edi", "rbp", 0x89, 0xfd, RET);
    BODY("lea rbp, [r12+rbp] again", FORM, 0x49, 0x8d, 0x2c, 0x2c, RET);
    BODY("mov rax, rbp", "rbp", 0x48, 0x89, 0xe8, RET);
    BODY("mov [rbp-8], rbp", "rbp", 0x48, 0x89, 0x6d, 0xf8, RET);
    BODY("cmp rdi, rbp", "rbp", 0x48, 0x39, 0xef, RET);
    BODY("lea rax, [rbp-8]", FORM, 0x48, 0x8d, 0x45, 0xf8, RET);
    BODY("sete bpl", "rbp", 0x40, 0x0f, 0x94, 0xc5, RET);
    BODY("sete r12b", "r12", 0x41, 0x0f, 0x94, 0xc4, RET);
    BODY("sete ch", UNKNOWN, 0x0f, 0x94, 0xc5, RET);
    BODY("mov edi, edi ; sete dil", FORM, 0x89, 0xff, 0x40, 0x0f, 0x94, 0xc7, LOAD_RDI, RET);
    BODY("mov rsp, rdi", "rsp", 0x48, 0x89, 0xfc, RET);
    BODY("mov rax, rsp", "rsp", 0x48, 0x89, 0xe0, RET);
    BODY("sub rsp, 16", "rsp", 0x48, 0x83, 0xec, 16, RET);
    BODY("and rsp, -16", "rsp", 0x48, 0x83, 0xe4, 0xf0, RET);
    BODY("pop rbp", "nothing pushed", 0x5d, RET);
    BODY("push rdi, pop rbp", "not what was pushed", 0x57, 0x5d, RET);
    BODY("push 0, pop r12", "not what was pushed", 0x6a, 0, 0x41, 0x5c, RET);
    BODY("push, ret", "a return", 0x57, RET);
}

Test(jit_verify, refuses_control_that_escapes)
{
    BODY("jump into an instruction", "middle", 0xeb, 0x01, 0xb8, 0xc3, 0, 0, 0, RET);
    BODY("jump before the text", "a branch out of the text", 0xe9, 0xfa, 0xff, 0xff, 0xff, RET);
    BODY("jump behind the text", "a branch out of the text", 0xeb, 0x10, RET);
    BODY("call rax", "to anywhere", 0x57, 0xff, 0xd0, 0x5f, RET);
    BODY("call r11 = 7", "to anywhere", 0x57, 0x41, 0xbb, 7, 0, 0, 0, 0x41, 0xff, 0xd3, 0x5f, RET);
    BODY("call into the body", "no function", 0x57, 0xe8, 0, 0, 0, 0, 0x5f, RET);
    BODY("call, stack odd", "a call", 0xe8, 0xfb, 0xff, 0xff, 0xff, RET);
    BODY("int3", "a trap", 0xcc);
    BODY("falls off", "left at its end", 0x48, 0x89, 0xf8);
}

/* Gates are called by call instructions only, the one of their helper, with its index; scalar
 * functions likewise. */
static void expect_bound(const char *source)
{
    struct copy c = copy_of(assemble(source));
    struct vm_diag diag;
    struct decoded d;
    unsigned found = 0;
    cr_expect(verify(&c, &diag), "%s", diag.text);
    for (size_t at = 0; at < c.bytes; at += d.size) {
        cr_assert(decode_one(c.text + at, c.bytes - at, &d));
        if (d.kind == KIND_PUSH_IMM) {
            c.text[at + 1] = 2;
            cr_expect(!verify(&c, &diag));
            c.text[at + 1] = 1;
            found++;
        } else if (d.kind == KIND_CALL || d.size == 10) { /* near, or far */
            unsigned low = d.kind == KIND_CALL ? 1 : 2;
            c.text[at + low] ^= 16;
            cr_expect(!verify(&c, &diag));
            c.text[at + low] ^= 16;
            found++;
        }
    }
    cr_expect_eq(found, 2, "%u", found);
    drop(&c);
}

Test(jit_verify, refuses_other_helpers)
{
    expect_bound("call 1\nexit\n");
    expect_bound("call sum5_direct\nexit\n");
}

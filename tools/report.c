/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to see where a program stands or fell. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/report.h"
#include "vm/limits.h"

enum {
    TEXT_BYTES = 160,
    REGISTERS_A_ROW = 3,
    AROUND_FAULT = 3,
    BEFORE_MAX = 16,
    OP_LDDW = 0x18,
    ALL_REGISTERS = 0x7ff,
};

void tool_print_registers(const uint64_t regs[11], uint32_t known, uint32_t changed)
{
    for (unsigned i = 0; i < 11; i++) {
        char value[24] = "?";
        bool ends_row = i % REGISTERS_A_ROW == REGISTERS_A_ROW - 1 || i == 10;

        if (known >> i & 1) {
            snprintf(value, sizeof value, "0x%" PRIx64, regs[i]);
        }
        fprintf(stderr, "  %sr%u%c %*s", i < 10 ? " " : "", i, changed >> i & 1 ? '*' : ' ',
                ends_row ? 0 : -18, value);
        fputs(ends_row ? "\n" : "", stderr);
    }
}

void tool_print_place(const struct vm_program *program, uint32_t insn)
{
    const struct vm_function *f = vm_program_function_at(program, insn);
    const struct vm_line *l = vm_program_line_at(program, insn);

    fputs(f && f->name[0] ? f->name : "(unnamed)", stderr);
    if (l) {
        fprintf(stderr, " (%s:%u)", vm_file_short(l->file), l->line);
    }
    fprintf(stderr, ", instruction %u", insn);
}

/* The second slot of an lddw is not an instruction. */
static uint32_t next_of(const struct vm_insn *insns, uint32_t insn)
{
    return insn + (insns[insn].code == OP_LDDW ? 2 : 1);
}

/* The instruction `before` places before `insn`, or the first of its function. */
static uint32_t first_shown(const struct vm_insn *insns, uint32_t start, uint32_t insn,
                            unsigned before)
{
    uint32_t ring[BEFORE_MAX];
    uint32_t seen = 0;

    if (before == 0) {
        return insn;
    }
    for (uint32_t i = start; i < insn; i = next_of(insns, i)) {
        ring[seen++ % BEFORE_MAX] = i;
    }
    return seen == 0 ? start : ring[(seen > before ? seen - before : 0) % BEFORE_MAX];
}

void tool_print_around(const struct vm_program *program, uint32_t insn, unsigned before,
                       unsigned after)
{
    uint32_t count;
    const struct vm_insn *insns = vm_program_insns(program, &count);
    const struct vm_function *f = vm_program_function_at(program, insn);
    char text[TEXT_BYTES];

    if (!f || insn >= count) {
        return;
    }
    before = before < BEFORE_MAX ? before : BEFORE_MAX;
    uint32_t i = first_shown(insns, f->start, insn, before);
    for (uint32_t left = after + 1; i < f->start + f->count && left > 0; i = next_of(insns, i)) {
        vm_disasm(program, insns, count, i, text, sizeof text);
        fprintf(stderr, "%s%6u  %s\n", i == insn ? " ->" : "   ", i, text);
        left -= i >= insn;
    }
}

/* ---- faults ---------------------------------------------------------------------------------- */

/* What memory an address lies in or next to; NULL when that is not worth a word. */
static const char *explain_address(const struct vm_program *program, uint32_t address, bool write)
{
    uint32_t rodata = vm_program_rodata_bytes(program);

    if (address < VM_IMAGE_BASE) {
        return "a null pointer, or one with a small offset: nothing is below 0x10000";
    }
    if (write && address - VM_IMAGE_BASE < rodata) {
        return "constants cannot be written";
    }
    if (address >= VM_STACK_TOP && address < VM_STACK_TOP + VM_GUARD_BYTES) {
        return "past the end of the stack, which is at 0x2020000: a local array overrun?";
    }
    if (address >= VM_CODE_BASE) {
        return "functions can be called, but not read or written";
    }
    return "no memory of the program is there; zs-vm inspect lists its constants and variables";
}

static const char *explain(const struct vm_program *program, const struct vm_fault *fault)
{
    switch (fault->kind) {
    case VM_FAULT_READ:
    case VM_FAULT_WRITE:
        return explain_address(program, fault->address, fault->kind == VM_FAULT_WRITE);
    case VM_FAULT_MISALIGNED:
        return "atomic operations need an address that is a multiple of their size";
    case VM_FAULT_STACK:
        return "the stack has 64 KiB; recursion too deep, or arrays that should be static";
    case VM_FAULT_CALL_DEPTH: return "at most 32 calls may be under way";
    case VM_FAULT_CALLX: return "the called pointer is not the address of a function";
    case VM_FAULT_BUDGET:
        return "an endless loop? --profile shows which lines ran most, --budget-ms allows more";
    case VM_FAULT_HELPER:
        return fault->text && strcmp(fault->text, "there is no request") == 0
                   ? "this is a script: run it on a request with --request FILE"
                   : NULL;
    case VM_FAULT_NONE:
    case VM_FAULT_CANCELLED:
    case VM_FAULT_COUNT: break;
    }
    return NULL;
}

void tool_report_fault(const struct vm_program *program, const struct vm_fault *fault,
                       struct tool_sources *sources)
{
    const char *why = explain(program, fault);
    size_t length;

    if (why) {
        fprintf(stderr, "  %s\n", why);
    }
    if (fault->insn == VM_NO_INSN) {
        return;
    }
    if (fault->file && tool_source_line(sources, fault->file, fault->line, &length)) {
        fprintf(stderr, "\n%s:%u:  ", vm_file_short(fault->file), fault->line);
        tool_source_print(sources, fault->file, fault->line, stderr);
    }
    fputc('\n', stderr);
    tool_print_around(program, fault->insn, AROUND_FAULT, AROUND_FAULT);
    if (fault->regs_known) {
        fputc('\n', stderr);
        tool_print_registers(fault->regs, fault->regs_known, 0);
        if (fault->regs_known != ALL_REGISTERS) {
            fprintf(stderr, "  ? is not read again and so not kept; --engine interp keeps all\n");
        }
    }
}

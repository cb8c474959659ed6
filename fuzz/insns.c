/* SPDX-License-Identifier: Apache-2.0 */
/* Raw instructions: what vm_program_create accepts must run on both engines without harm and with
 * the same outcome, unless the budget ends it (endless programs are legal).
 *
 * The first byte chooses how the rest is read: even, as instructions as they are; odd, bent towards
 * legal ones (existing rows, registers up to 10, unused fields zero, near jumps), because random
 * bytes are hardly ever a program. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tests/support/machine.h"
#include "tests/support/verify.h"
#include "vm/isa.h"

enum { INSNS_MAX = 256, TICK_MS = 1, BUDGET_MS = 2 };

/* An instance of a row that the code byte chooses, with the fields that row has; `left`
 * instructions follow before the exits at the end. */
static void bend(struct vm_insn *insn, size_t left)
{
    const struct vm_isa_row *row = &vm_isa[insn->code % VM_IX_COUNT];
    insn->code = row->code;
    insn->dst = row->fields & F_DST ? insn->dst % 10 : 0;
    insn->src = row->fields & F_SRC ? insn->src % 11 : 0;
    insn->off = row->fields & F_OFF ? insn->off : 0;
    insn->imm = row->fields & F_IMM ? insn->imm : 0;
    switch ((enum vm_group)row->group) {
    case VM_GROUP_ALU: insn->off = row->sub; break;
    case VM_GROUP_ATOMIC: insn->src %= 10; /* fall through */
    case VM_GROUP_END: insn->imm = row->sub; break;
    case VM_GROUP_LDX:
    case VM_GROUP_LDSX:
        if (insn->src == 10)
            insn->off = (int16_t)(-8 - (insn->off & 255));
        break;
    case VM_GROUP_LDDW: /* takes two slots: the first lddw after it would be its second */
        insn->code = vm_isa[VM_IX_MOV64_IMM].code;
        insn->src = 0;
        break;
    case VM_GROUP_JMP:
    case VM_GROUP_JA:
        insn->off = row->fields & F_OFF ? (int16_t)(insn->off & 7) : 0;
        insn->imm = row->group == VM_GROUP_JA && row->fields & F_IMM ? insn->imm & 7 : insn->imm;
        break;
    case VM_GROUP_CALL:
        insn->src = row->sub & 15;
        if (row->source == VM_SOURCE_IMM && !row->sub)
            insn->imm = (int32_t)((uint32_t)insn->imm % t_helper_count);
        else if (row->sub) /* all but the first of the exits can be functions */
            insn->imm = (int32_t)left + 1 + (insn->imm & 3);
        break;
    default: break;
    }
}

static uint32_t read_insns(const uint8_t *data, size_t size, struct vm_insn insns[INSNS_MAX])
{
    if (size < 1 + sizeof *insns)
        return 0;
    size_t count = (size - 1) / sizeof *insns;
    count = count > INSNS_MAX - 8 ? INSNS_MAX - 8 : count;
    memcpy(insns, data + 1, count * sizeof *insns);
    if ((data[0] & 1) == 0)
        return (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        bend(&insns[i], count - i - 1);
    for (int i = 0; i < 8; i++) /* where forward jumps of the last ones lead */
        insns[count++] = (struct vm_insn){.code = vm_isa[VM_IX_EXIT].code};
    return (uint32_t)count;
}

static void compare(const struct vm_insn *insns, uint32_t count, const struct t_outcome o[2])
{
    const char *difference = t_difference(&o[0], &o[1]);
    if (!difference)
        return;
    char text[2][100];
    t_outcome_text(&o[0], text[0], sizeof text[0]);
    t_outcome_text(&o[1], text[1], sizeof text[1]);
    t_dump(insns, count);
    fprintf(stderr, "insns: %s differs: %s: %s, %s: %s\n", difference, vm_engine_name(t_engines[0]),
            text[0], vm_engine_name(t_engines[1]), text[1]);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct t_outcome outcome[T_ENGINE_COUNT];
    static bool started;
    struct vm_insn insns[INSNS_MAX];
    struct vm_diag diag;
    if (!started) {
        t_thread_with(&(struct vm_thread_config){.tick_ms = TICK_MS, .budget_ms = BUDGET_MS});
        started = true;
    }
    uint32_t count = read_insns(data, size, insns);
    struct vm_program *program = t_program(insns, count, &diag);
    if (!program)
        return 0;
    if (!t_verify(program, &diag)) {
        t_dump(insns, count);
        fprintf(stderr, "insns: %s\n", diag.text);
        abort();
    }
    uint8_t memory[64] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct t_input input = {
        .memory = memory, .memory_bytes = sizeof memory, .arg = {0, 0, 3, 4, 5}};
    bool spent = false;
    for (int i = 0; i < T_ENGINE_COUNT && !spent; i++) {
        if (!t_run_program(t_engines[i], program, &input, &outcome[i], &diag)) {
            fprintf(stderr, "insns: %s\n", diag.text);
            abort();
        }
        spent = outcome[i].state == VM_STATE_FAULT && outcome[i].fault.kind == VM_FAULT_BUDGET;
    }
    if (!spent)
        compare(insns, count, outcome);
    vm_program_free(program);
    return 0;
}

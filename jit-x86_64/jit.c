/* SPDX-License-Identifier: Apache-2.0 */
/* The driver: lower everything once to learn lengths, shorten jumps, lower again at final places,
 * map the result.
 *
 * The first pass takes every jump as near, and padding before short loops as the longest, so
 * distances are upper bounds; code only gets shorter afterwards, so a jump once found short stays
 * short. In the last pass every instruction must have exactly the length that was predicted:
 * displacements were computed from it.
 */
#include "jit-x86_64/jit.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jit-x86_64/calls.h"
#include "jit-x86_64/code.h"
#include "jit-x86_64/compile.h"
#include "jit-x86_64/lower.h"
#include "jit-x86_64/mem.h"
#include "jit-x86_64/narrow.h"
#include "jit-x86_64/remainder.h"
#include "jit-x86_64/symbols.h"
#include "jit-x86_64/verify.h"
#include "vm/alloc.h"
#include "vm/segment.h"

#define SHRINK_PASSES  3
#define LINE_BYTES     64u
#define PAD_BYTES_MAX  (LINE_BYTES - 1)
#define PAD_BYTES_MIN  3u /* of those that do nothing */
#define LOOP_BYTES_MAX (LINE_BYTES - PAD_BYTES_MIN)

_Static_assert(offsetof(struct vm_context, kept) == CALLS_KEPT, "calls.S loads and stores there");
_Static_assert(VM_STACK_TOP == CALLS_STACK_TOP, "calls.S begins there");
_Static_assert(VM_CONTEXT_BELOW == CALLS_BELOW, "calls.S finds the context so");

struct vm_code {
    const struct vm_program *program;
    struct code code;
    uint32_t *offsets; /* [insn_count + 1], ascending */
    uint16_t *live;    /* [insn_count + 1] of analysis.h: what a fault may tell of the registers */
    uint8_t *spans;    /* [insn_count] of analysis.h: which loads a fault may be one of */
    struct lower_retry *retries; /* of lower.h */
    size_t retry_count;
    struct defer_note *notes; /* and what is not in its register then */
    size_t note_count;
    uint32_t insn_count;
    bool uses_gs;
    struct gdb_entry *gdb; /* or NULL */
};

/* The second slot of lddw has no code. */
static uint32_t slots(const struct vm_op *op)
{
    return vm_isa[op->ix].group == VM_GROUP_LDDW ? 2 : 1;
}

static bool is_jump(const struct vm_op *op)
{
    return vm_isa[op->ix].group == VM_GROUP_JMP || vm_isa[op->ix].group == VM_GROUP_JA;
}

static uint32_t count_of(const struct lower *l)
{
    return l->program->insn_count;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

/* Fills offsets, all jumps being near and all padding as long as can be. Emits over and over at the
 * start of the buffer. */
static enum vm_error measure(struct lower *l)
{
    size_t at = 0;
    for (l->insn = 0; l->insn < count_of(l);) {
        const struct vm_op *op = &l->program->ops[l->insn];
        l->emit.count = 0;
        lower_insn(l);
        bool is_head = l->insn != 0 && l->analysis.heads[l->insn] != 0;
        l->pads[l->insn] = is_head ? PAD_BYTES_MAX : 0;
        at += l->pads[l->insn];
        l->offsets[l->insn] = (uint32_t)at;
        if (slots(op) == 2) {
            l->offsets[l->insn + 1] = (uint32_t)(at + l->emit.count);
        }
        at += l->emit.count;
        l->insn += slots(op);
        if (at > JIT_TEXT_BYTES_MAX) {
            return VM_ERROR_TOO_LARGE;
        }
    }
    l->offsets[count_of(l)] = (uint32_t)at;
    l->emit.count = 0;
    return l->emit.error;
}

/* An instruction's padding comes before its offset. */
static uint32_t pad_before(const struct lower *l, uint32_t insn)
{
    return insn < count_of(l) ? l->pads[insn] : 0;
}

static uint32_t saved_bytes(const struct vm_op *op)
{
    return vm_isa[op->ix].group == VM_GROUP_JA ? EMIT_JMP_BYTES - EMIT_SHORT_JUMP_BYTES
                                               : EMIT_JCC_BYTES - EMIT_SHORT_JUMP_BYTES;
}

/* One pass over the jumps that still are near. Code before `i` has moved down by `saved` already,
 * code behind will move at least as far. Returns whether anything became shorter. */
static bool shrink(struct lower *l)
{
    uint32_t saved = 0;
    for (uint32_t i = 0; i < count_of(l); i++) {
        const struct vm_op *op = &l->program->ops[i];
        l->offsets[i] -= saved;
        if (l->forms[i] != LOWER_NEAR) {
            continue;
        }
        int64_t from = (int64_t)l->offsets[i + 1] - saved - pad_before(l, i + 1);
        uint32_t target = lower_target(l, i);
        int64_t to = (int64_t)l->offsets[target] - (target > i ? saved : 0);
        if (to - from == (int8_t)(to - from)) {
            l->forms[i] = LOWER_SHORT;
            saved += saved_bytes(op);
        }
    }
    l->offsets[count_of(l)] -= saved;
    return saved != 0;
}

/* A loop that fits into a line of the cache goes into one: processors decode and keep lines, and a
 * loop of few instructions is done in half the time if it needs only one. Code in the loop has its
 * final length already; what is saved here makes distances shorter, never longer. */
static void align(struct lower *l)
{
    uint32_t saved = 0;
    for (uint32_t i = 0; i < count_of(l); i++) {
        if (l->pads[i] != 0) {
            uint32_t end = i + l->analysis.heads[i];
            uint32_t bytes = l->offsets[end] - pad_before(l, end) - l->offsets[i];
            uint32_t at = l->offsets[i] - saved - l->pads[i], in_line = at % LINE_BYTES;
            uint32_t pad =
                in_line + bytes <= LINE_BYTES || bytes > LOOP_BYTES_MAX ? 0 : LINE_BYTES - in_line;
            pad = pad == 1 || pad == 2 ? PAD_BYTES_MIN : pad;
            saved += l->pads[i] - pad;
            l->pads[i] = (uint8_t)pad;
        }
        l->offsets[i] -= saved;
    }
    l->offsets[count_of(l)] -= saved;
}

/* ---- emission ------------------------------------------------------------------------------- */

static enum vm_error place(struct lower *l)
{
    struct emit *e = &l->emit;
    l->placing = true;
    for (l->insn = 0; l->insn < count_of(l);) {
        uint32_t next = l->insn + slots(&l->program->ops[l->insn]);
        assert(e->error != VM_ERROR_OK || e->count == l->offsets[l->insn]);
        lower_insn(l);
        if (next < count_of(l)) {
            emit_nops(e, l->pads[next]);
        }
        assert(e->error != VM_ERROR_OK || e->count == l->offsets[next]);
        l->insn = next;
    }
    lower_faults(l);
    return e->error;
}

/* Entries of the table callx looks into, or NULL when memory is out. */
static uint32_t *entry_table(const struct lower *l)
{
    const struct vm_program *p = l->program;
    uint32_t *table = vm_allocate_zero(l->table_entries, sizeof(*table));
    for (uint32_t i = 0; table != NULL && i < p->function_count; i++) {
        uint32_t start = p->functions[i].start;
        table[start] = (uint32_t)l->table_room + l->offsets[start];
    }
    return table;
}

/* Fills in the distances of calls that leave the text; false when one is too long. */
static bool link_outcalls(struct lower *l, const struct code *code)
{
    for (size_t i = 0; i < l->outcall_count; i++) {
        const struct lower_outcall *call = &l->outcalls[i];
        if (!code_reaches(code, call->target)) {
            return false;
        }
        int32_t distance = (int32_t)(call->target - ((uintptr_t)code->text + call->end));
        memcpy(l->emit.bytes + call->end - sizeof(distance), &distance, sizeof(distance));
    }
    return true;
}

/* *is_far: there is no place from which all that is called can be reached. */
static enum vm_error map_text(struct lower *l, struct code *code, bool *is_far)
{
    size_t table_bytes = l->table_entries * sizeof(uint32_t);
    uint32_t *table = NULL;
    uintptr_t anchor = l->outcall_count != 0 ? l->outcalls[0].target : 0;
    if (table_bytes != 0) {
        table = entry_table(l);
        if (table == NULL) {
            return VM_ERROR_NO_MEMORY;
        }
    }
    enum vm_error error = code_reserve(code, anchor, table_bytes, l->emit.count);
    if (error == VM_ERROR_OK && !link_outcalls(l, code)) {
        *is_far = true;
        code_unmap(code);
    } else if (error == VM_ERROR_OK) {
        error = code_fill(code, table, l->emit.bytes);
    }
    vm_release(table);
    return error;
}

/* ---- compilation ---------------------------------------------------------------------------- */

static bool lower_init(struct lower *l, const struct vm_program *program,
                       const struct jit_options *options)
{
    uint32_t count = program->insn_count;
    *l = (struct lower){.program = &l->narrowed,
                        .narrowed = *program,
                        .held = MEM_NONE,
                        .flags_insn = VM_NO_INSN,
                        .without = options->without,
                        .may_gs = (options->without & JIT_SEGMENT) == 0 && vm_segment_can_be_set(),
                        .bmi2 = !options->no_bmi2 && __builtin_cpu_supports("bmi2")};
    struct fuse fuse = {.program = program, .analysis = &l->analysis};
    emit_init(&l->emit, JIT_TEXT_BYTES_MAX);
    l->offsets = vm_allocate_zero((size_t)count + 1, sizeof(*l->offsets));
    l->forms = vm_allocate_zero(count, sizeof(*l->forms));
    l->pads = vm_allocate_zero(count, sizeof(*l->pads));
    l->narrowed.ops = vm_allocate(count * sizeof(*l->narrowed.ops));
    if (l->offsets == NULL || l->forms == NULL || l->pads == NULL || l->narrowed.ops == NULL ||
        !analysis_init(&l->analysis, program, options->without)) {
        return false;
    }
    memcpy(l->narrowed.ops, program->ops, count * sizeof(*l->narrowed.ops));
    if ((options->without & JIT_NARROWING) == 0) {
        narrow_find_wide(&l->analysis, program);
        narrow_ops(&l->analysis, program, l->narrowed.ops);
    }
    if ((options->without & JIT_REMAINDERS) == 0) {
        remainder_ops(&l->analysis, program, l->narrowed.ops);
    }
    analysis_refine(&l->analysis, l->program, options->without);
    for (uint32_t i = 0; i < count; i += slots(&program->ops[i])) {
        if (is_jump(&program->ops[i])) {
            bool is_gone = fuse_is_absorbed(&fuse, i) || l->analysis.selects[i];
            l->forms[i] = is_gone ? LOWER_NO_JUMP : LOWER_NEAR;
        } else if (program->ops[i].ix == VM_IX_CALLX) {
            l->table_entries = count;
        }
    }
    l->table_room = code_table_room(l->table_entries * sizeof(uint32_t));
    return true;
}

static void lower_fini(struct lower *l)
{
    emit_free(&l->emit);
    vm_release(l->offsets);
    vm_release(l->forms);
    vm_release(l->pads);
    vm_release(l->sites);
    vm_release(l->outcalls);
    vm_release(l->retries);
    vm_release(l->notes);
    vm_release(l->narrowed.ops);
    analysis_fini(&l->analysis);
}

static enum vm_error compile(struct lower *l, struct code *code, bool *is_far)
{
    enum vm_error error = measure(l);
    if (error != VM_ERROR_OK) {
        return error;
    }
    for (unsigned i = 0; i < SHRINK_PASSES && shrink(l); i++) {
    }
    align(l);
    error = place(l);
    return error != VM_ERROR_OK ? error : map_text(l, code, is_far);
}

static void explain(struct vm_diag *diag, enum vm_error error)
{
    if (error == VM_ERROR_TOO_LARGE) {
        vm_diag_set(diag, error, VM_NO_INSN, "native code would be larger than %u MiB",
                    JIT_TEXT_BYTES_MAX >> 20);
    } else if (error == VM_ERROR_HOST) {
        vm_diag_set(diag, error, VM_NO_INSN, "cannot map executable memory: %s", strerror(errno));
    } else {
        vm_diag_set(diag, error, VM_NO_INSN, "no memory to compile");
    }
}

static void jit_release(struct vm_code *code)
{
    if (code == NULL) {
        return;
    }
    gdb_entry_remove(code->gdb);
    code_unmap(&code->code);
    vm_release(code->offsets);
    vm_release(code->live);
    vm_release(code->spans);
    vm_release(code->retries);
    vm_release(code->notes);
    vm_release(code);
}

/* Builds that look for bugs check every program compiled; see verify.h. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VERIFY_ALWAYS true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define VERIFY_ALWAYS true
#endif
#endif
#ifndef VERIFY_ALWAYS
#define VERIFY_ALWAYS false
#endif

static bool check(const struct vm_program *program, const struct vm_code *made,
                  struct vm_diag *diag)
{
    struct jit_verify_input input = {.text = made->code.text,
                                     .address = (uintptr_t)made->code.text,
                                     .bytes = made->code.text_bytes,
                                     .offsets = made->offsets,
                                     .uses_gs = made->uses_gs,
                                     .program = program};
    return jit_verify(&input, diag);
}

static struct vm_code *try_compile(const struct vm_program *program,
                                   const struct jit_options *options, bool *is_far,
                                   struct vm_diag *diag)
{
    struct lower l;
    struct vm_code *made = vm_allocate_zero(1, sizeof(*made));
    enum vm_error error = VM_ERROR_NO_MEMORY;
    if (lower_init(&l, program, options) && made != NULL) {
        error = compile(&l, &made->code, is_far);
    }
    if (error == VM_ERROR_OK && !*is_far) {
        made->insn_count = program->insn_count;
        made->offsets = l.offsets;
        l.offsets = NULL;
        made->live = l.analysis.live;
        l.analysis.live = NULL;
        made->spans = l.analysis.spans;
        l.analysis.spans = NULL;
        made->program = program;
        made->retries = l.retries;
        made->retry_count = l.retry_count;
        l.retries = NULL;
        made->notes = l.notes;
        made->note_count = l.note_count;
        made->uses_gs = l.emit.uses_gs;
        l.notes = NULL;
    } else {
        explain(diag, error);
        vm_release(made);
        made = NULL;
    }
    lower_fini(&l);
    if (VERIFY_ALWAYS && made != NULL && !check(program, made, diag)) {
        jit_release(made);
        made = NULL;
    }
    return made;
}

struct vm_code *jit_compile(const struct vm_program *program, const struct jit_options *options,
                            struct vm_diag *diag)
{
    bool is_far = false;
    struct vm_code *made = try_compile(program, options, &is_far, diag);
    if (is_far) {
        struct jit_options far = *options;
        far.without |= JIT_NEAR_CALLS;
        is_far = false;
        made = try_compile(program, &far, &is_far, diag);
    }
    return made;
}

/* ---- the engine ----------------------------------------------------------------------------- */

static struct vm_code *jit_prepare(const struct vm_program *program, struct vm_diag *diag)
{
    return jit_compile(program, &(struct jit_options){.no_bmi2 = false}, diag);
}

static uintptr_t jit_place(const struct vm_code *code, uint32_t insn)
{
    assert(insn < code->insn_count);
    return (uintptr_t)code->code.text + code->offsets[insn];
}

static void jit_preemptible(const struct vm_code *code, uintptr_t *start, uintptr_t *end)
{
    *start = (uintptr_t)code->code.text;
    *end = *start + code->code.text_bytes;
}

static uint32_t jit_insn_at(const struct vm_code *code, uintptr_t pc)
{
    uintptr_t text = (uintptr_t)code->code.text;
    const uint32_t *offsets = code->offsets;
    if (pc < text || pc >= text + offsets[code->insn_count]) {
        return VM_NO_INSN;
    }
    /* The last instruction that starts at or before pc. */
    uint32_t low = 0, high = code->insn_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (offsets[middle] <= pc - text) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint32_t jit_live(const struct vm_code *code, uint32_t insn)
{
    return code->live[insn] | 1u << 10;
}

static const uint8_t *native_of(const struct vm_code *code, uint32_t insn)
{
    return code->code.text + code->offsets[insn];
}

/* Where a fetching atomic without an x86 instruction of its own keeps R0: see lower.c. */
static bool keeps_r0_aside(const struct vm_op *op)
{
    switch ((enum vm_ix)op->ix) {
    case VM_IX_AFOR64:
    case VM_IX_AFOR32:
    case VM_IX_AFAND64:
    case VM_IX_AFAND32:
    case VM_IX_AFXOR64:
    case VM_IX_AFXOR32: return true;
    default: return false;
    }
}

/* Computes the registers that wait when `insn` begins. Returns those that cannot be. */
static uint32_t add_waiting(const struct vm_code *code, uint32_t insn, bool at_start,
                            uint64_t regs[11])
{
    uint32_t lost = 0;
    uint64_t native[11];
    size_t low = 0, high = code->note_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code->notes[middle].insn < insn) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    memcpy(native, regs, sizeof(native));
    for (; low < code->note_count && code->notes[low].insn == insn; low++) {
        const struct defer_note *note = &code->notes[low];
        if (note->is_lost) {
            lost |= 1u << note->guest;
        } else if (at_start || !note->is_settled) {
            regs[note->guest] = defer_evaluate(&note->value, native);
        }
    }
    return lost;
}

/* The instruction with the code of `insn`, where it was interrupted: see analysis.h on spans. */
static uint32_t start_of(const struct vm_code *code, const mcontext_t *at, uint32_t insn)
{
    uint32_t first = jit_insn_at(code, (uintptr_t)at->gregs[REG_RIP]);
    bool is_inside = first != VM_NO_INSN && insn > first && insn - first < code->spans[first];
    return is_inside ? first : insn;
}

/* Registers that instructions of a span before `insn` write. */
static uint32_t written_before(const struct vm_code *code, uint32_t first, uint32_t insn)
{
    uint32_t written = 0;
    for (uint32_t i = first; i < insn; i++) {
        written |= 1u << code->program->ops[i].dst;
    }
    return written;
}

static uint32_t jit_registers(const struct vm_code *code, const mcontext_t *at, uint32_t insn,
                              uint64_t regs[11])
{
    static const uint8_t places[11] = {REG_RAX, REG_RDI, REG_RSI, REG_RDX, REG_RCX, REG_R8,
                                       REG_RBX, REG_R13, REG_R14, REG_R15, REG_RBP};
    uint32_t first = start_of(code, at, insn);
    if (code->spans[first] == ANALYSIS_INSIDE) {
        return 0; /* in the padding behind it all: too late for any of them */
    }
    uint32_t known =
        jit_live(code, insn) & jit_live(code, first) & ~written_before(code, first, insn);
    for (unsigned i = 0; i < 11; i++) {
        regs[i] = (uint64_t)at->gregs[places[i]];
    }
    regs[10] = (uint32_t)regs[10]; /* a host address: see mem.h */
    bool at_start = (uintptr_t)at->gregs[REG_RIP] == (uintptr_t)native_of(code, first);
    if (!at_start && keeps_r0_aside(&code->program->ops[insn])) {
        regs[0] = (uint64_t)at->gregs[REG_R9];
    }
    return known & ~add_waiting(code, first, at_start, regs);
}

static uintptr_t jit_retry(const struct vm_code *code, uintptr_t pc)
{
    uint32_t at = (uint32_t)(pc - (uintptr_t)code->code.text);
    size_t low = 0, high = code->retry_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code->retries[middle].end <= at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool is_inside = low < code->retry_count && at >= code->retries[low].start;
    return is_inside ? (uintptr_t)native_of(code, code->retries[low].insn) : 0;
}

static bool jit_access(const struct vm_code *code, const mcontext_t *at, uint32_t insn, unsigned n,
                       struct vm_access *access)
{
    const struct vm_op *ops = code->program->ops;
    uint64_t regs[11];
    (void)jit_registers(code, at, insn, regs);
    for (uint32_t i = insn; i - insn < code->spans[insn]; i++) {
        const struct vm_isa_row *row = &vm_isa[ops[i].ix];
        if (row->group == VM_GROUP_LDX && n-- == 0) {
            *access =
                (struct vm_access){.insn = i,
                                   .bytes = row->width / 8u,
                                   .address = (int64_t)(uint32_t)regs[ops[i].src] + ops[i].off};
            return true;
        }
    }
    return false;
}

static bool jit_uses_gs(const struct vm_code *code)
{
    return code->uses_gs;
}

const struct vm_engine jit_x86_64 = {
    .name = "jit",
    .prepare = jit_prepare,
    .enter = jit_enter,
    .place = jit_place,
    .preemptible = jit_preemptible,
    .insn_at = jit_insn_at,
    .retry = jit_retry,
    .access = jit_access,
    .registers = jit_registers,
    .live = jit_live,
    .uses_gs = jit_uses_gs,
    .release = jit_release,
};

const uint8_t *jit_code(const struct vm_image *image, size_t *bytes, const uint32_t **offsets)
{
    assert(image->engine->insn_at == jit_insn_at);
    *bytes = image->code->code.text_bytes;
    *offsets = image->code->offsets;
    return image->code->code.text;
}

static struct symbols_input symbols_of(const struct vm_image *image)
{
    assert(image->engine->insn_at == jit_insn_at);
    return (struct symbols_input){.program = image->program,
                                  .text = image->code->code.text,
                                  .text_bytes = image->code->code.text_bytes,
                                  .offsets = image->code->offsets};
}

bool jit_perf_map(const struct vm_image *image, struct vm_diag *diag)
{
    struct symbols_input in = symbols_of(image);
    enum vm_error error = perf_map_append(&in);
    if (error != VM_ERROR_OK) {
        vm_diag_set(diag, error, VM_NO_INSN, "cannot write /tmp/perf-%ld.map: %s", (long)getpid(),
                    error == VM_ERROR_HOST ? strerror(errno) : "no memory");
    }
    return error == VM_ERROR_OK;
}

bool jit_gdb_register(struct vm_image *image, struct vm_diag *diag)
{
    struct symbols_input in = symbols_of(image);
    assert(image->code->gdb == NULL);
    image->code->gdb = gdb_entry_add(&in);
    if (image->code->gdb == NULL) {
        vm_diag_set(diag, VM_ERROR_NO_MEMORY, VM_NO_INSN, "no memory for names");
    }
    return image->code->gdb != NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* How much stack a function needs, from the code itself, so that a callee's frame never overlaps
 * its caller's.
 *
 * A frame reaches down to the lowest byte the function can name: offsets of accesses through r10,
 * and constants added to a copy of r10. Where r10 is copied, compilers may still index below what
 * is visible here, so such a frame is at least VM_FRAME_ESCAPED_BYTES. A function that computes its
 * way lower only reaches other frames of its own run.
 */
#include <stdlib.h>

#include "vm/alloc.h"
#include "vm/validate.h"

/* What one scan of a function knows: the registers that may hold a copy of r10 (bit per register).
 */
struct scan {
    uint32_t copies;
    uint32_t depth;  /* bytes below r10 */
    uint32_t stored; /* the same of what it stores to */
    bool strays;     /* it stores where r10 does not tell, or where no frame is */
};

static void note_depth(uint32_t *deepest, int64_t offset)
{
    int64_t depth = -offset;

    if (depth > (int64_t)*deepest && depth <= (int64_t)VM_FRAME_BYTES_MAX) {
        *deepest = (uint32_t)depth;
    }
}

static void scan_op(struct scan *scan, const struct vm_op *op)
{
    const struct vm_isa_row *row = &vm_isa[op->ix];
    bool from_copy = op->src == 10 || (scan->copies >> op->src & 1) != 0;

    switch ((enum vm_group)row->group) {
    case VM_GROUP_LDX:
    case VM_GROUP_LDSX:
        if (op->src == 10) {
            note_depth(&scan->depth, op->off);
        }
        break;
    case VM_GROUP_ST:
    case VM_GROUP_STX:
    case VM_GROUP_ATOMIC:
        if (op->dst == 10) {
            note_depth(&scan->depth, op->off);
            note_depth(&scan->stored, op->off);
        }
        scan->strays = scan->strays || op->dst != 10 || -op->off > (int)VM_FRAME_BYTES_MAX;
        break;
    case VM_GROUP_ALU:
        if (row->source == VM_SOURCE_REG && from_copy) {
            scan->copies |= 1u << op->dst;
        } else if (op->ix == VM_IX_ADD64_IMM && (scan->copies >> op->dst & 1) != 0) {
            note_depth(&scan->depth, op->imm >= -(int64_t)VM_FRAME_LOCALS_BYTES ? op->imm : 0);
        }
        break;
    case VM_GROUP_END:
    case VM_GROUP_LDDW:
    case VM_GROUP_JMP:
    case VM_GROUP_JA:
    case VM_GROUP_CALL:
    case VM_GROUP_EXIT: break;
    }
}

static enum vm_error check_own_frame(const struct vm_program *p, uint32_t index,
                                     struct vm_diag *diag)
{
    const struct vm_op *op = &p->ops[index];
    const struct vm_isa_row *row = &vm_isa[op->ix];
    bool load = (row->group == VM_GROUP_LDX || row->group == VM_GROUP_LDSX) && op->src == 10;
    bool store = (row->group == VM_GROUP_ST || row->group == VM_GROUP_STX ||
                  row->group == VM_GROUP_ATOMIC) &&
                 op->dst == 10;

    if ((load || store) && op->off + row->width / 8 > 0) {
        return vm_diag_set(diag, VM_ERROR_BAD_FRAME, index, "instruction %u: %s (r10%+d)", index,
                           vm_error_text(VM_ERROR_BAD_FRAME), op->off);
    }
    return VM_ERROR_OK;
}

/* Longest path through the call graph, in bytes of stack. Walks without recursing: programs choose
 * how deep calls go. */
struct walk {
    uint8_t *state;   /* per function: 0 new, 1 on the path, 2 done */
    uint32_t *bytes;  /* per function: stack from its frame downwards */
    uint32_t *stored; /* per function: of it, what is stored to; at first by itself alone */
    uint32_t *path;   /* functions on the path */
    uint32_t *resume; /* per path element: next instruction to look at */
    bool unbounded;   /* a function can reach itself, or calls through a pointer */
    bool strays;      /* a function stores elsewhere than to its frame */
};

static enum vm_error measure_function(const struct vm_program *p, struct walk *w, uint32_t index,
                                      struct vm_diag *diag)
{
    struct vm_function *function = &p->functions[index];
    struct scan scan = {0};
    uint32_t before;

    do { /* a copy made late may be used by code that a loop puts before it */
        before = scan.copies;
        for (uint32_t i = 0; i < function->count; i++) {
            scan_op(&scan, &p->ops[function->start + i]);
        }
    } while (scan.copies != before);
    for (uint32_t i = 0; i < function->count; i++) {
        enum vm_error error = check_own_frame(p, function->start + i, diag);

        if (error != VM_ERROR_OK) {
            return error;
        }
    }
    if (scan.copies != 0 && scan.depth < VM_FRAME_ESCAPED_BYTES) {
        scan.depth = VM_FRAME_ESCAPED_BYTES;
    }
    function->frame_bytes = (scan.depth + VM_FRAME_ALIGN - 1) & ~(VM_FRAME_ALIGN - 1);
    w->stored[index] = scan.stored;
    w->strays = w->strays || scan.strays;
    return VM_ERROR_OK;
}

/* More makes no difference. */
static uint32_t within_stack(uint32_t bytes)
{
    return bytes < VM_STACK_BYTES ? bytes : VM_STACK_BYTES;
}

/* What a callee needs lies below the frame of its caller. */
static void add_callee(const struct vm_program *p, struct walk *w, uint32_t f, uint32_t callee)
{
    uint32_t own = p->functions[f].frame_bytes;

    if (w->bytes[f] < own + w->bytes[callee]) {
        w->bytes[f] = own + w->bytes[callee];
    }
    if (w->stored[callee] != 0 && w->stored[f] < own + w->stored[callee]) {
        w->stored[f] = own + w->stored[callee];
    }
}

static void walk_from(const struct vm_program *p, struct walk *w, uint32_t root)
{
    uint32_t depth = 0;

    w->path[0] = root;
    w->resume[0] = p->functions[root].start;
    w->state[root] = 1;
    w->bytes[root] = p->functions[root].frame_bytes;
    for (;;) {
        uint32_t f = w->path[depth];
        uint32_t end = p->functions[f].start + p->functions[f].count;
        uint32_t i = w->resume[depth];
        uint32_t callee = UINT32_MAX;

        for (; i < end && callee == UINT32_MAX; i++) {
            const struct vm_op *op = &p->ops[i];

            if (op->ix == VM_IX_CALLX) {
                w->unbounded = true;
            } else if (op->ix == VM_IX_CALL_LOCAL) {
                callee = p->function_index[op->target];
                if (w->state[callee] == 1) {
                    w->unbounded = true;
                    callee = UINT32_MAX;
                } else if (w->state[callee] == 2) {
                    add_callee(p, w, f, callee);
                    callee = UINT32_MAX;
                }
            }
        }
        if (callee != UINT32_MAX) {
            w->resume[depth] = i - 1; /* look at this call again when the callee is done */
            depth++;
            w->path[depth] = callee;
            w->resume[depth] = p->functions[callee].start;
            w->state[callee] = 1;
            w->bytes[callee] = p->functions[callee].frame_bytes;
            continue;
        }
        w->state[f] = 2;
        w->bytes[f] = within_stack(w->bytes[f]);
        w->stored[f] = within_stack(w->stored[f]);
        if (depth == 0) {
            return;
        }
        depth--;
    }
}

/* Frames that follow a copy of r10 are guesses upwards, so a sum beyond the stack is no reason to
 * refuse: such a program gets all of the stack, and a fault where it really runs out of it. */
static void measure_stack(struct vm_program *p, struct walk *w)
{
    uint32_t deepest = 0;
    uint32_t stored = 0;

    for (uint32_t f = 0; f < p->function_count; f++) {
        if (w->state[f] == 0) {
            walk_from(p, w, f);
        }
        deepest = w->bytes[f] > deepest ? w->bytes[f] : deepest;
        stored = w->stored[f] > stored ? w->stored[f] : stored;
    }
    p->stack_bytes = w->unbounded ? VM_STACK_BYTES : deepest;
    p->stored_bytes = w->unbounded || w->strays ? VM_STACK_BYTES : stored;
}

enum vm_error vm_measure_frames(struct vm_program *p, struct vm_diag *diag)
{
    struct walk w = {.state = vm_allocate_zero(p->function_count, sizeof *w.state),
                     .bytes = vm_allocate_zero(p->function_count, sizeof *w.bytes),
                     .stored = vm_allocate_zero(p->function_count, sizeof *w.stored),
                     .path = vm_allocate_zero(p->function_count, sizeof *w.path),
                     .resume = vm_allocate_zero(p->function_count, sizeof *w.resume)};
    enum vm_error error = VM_ERROR_OK;

    if (w.state == NULL || w.bytes == NULL || w.stored == NULL || w.path == NULL ||
        w.resume == NULL) {
        error = vm_diag_set(diag, VM_ERROR_NO_MEMORY, VM_NO_INSN, "out of memory");
    }
    for (uint32_t f = 0; f < p->function_count && error == VM_ERROR_OK; f++) {
        error = measure_function(p, &w, f, diag);
    }
    if (error == VM_ERROR_OK) {
        measure_stack(p, &w);
    }
    vm_release(w.state);
    vm_release(w.bytes);
    vm_release(w.stored);
    vm_release(w.path);
    vm_release(w.resume);
    return error;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Many runs of one image, one after the other in the same memory: between two of them it is cleared
 * and nothing is mapped, unmapped or looked for. */
#include <string.h>

#include "vm/run.h"

/* Memory and registers of a call. False when the heap is too small. */
static bool prepare(struct vm_run *run, const struct vm_entry *entry, struct vm_call *call,
                    uint8_t **memory)
{
    vm_run_begin(run, entry, call->host);
    *memory = NULL;
    if (call->memory_bytes != 0) {
        uint32_t address = vm_arena_heap_alloc(&run->arena, call->memory_bytes, memory);

        if (address == 0) {
            return false;
        }
        call->args[0] = address;
        memcpy(*memory, call->memory, call->memory_bytes);
    }
    vm_run_set_args(run, call->args);
    return true;
}

/* Nobody is there whom a helper could wait for. */
static void refuse_to_wait(struct vm_run *run)
{
    const struct vm_program *program = run->image->program;
    uint32_t insn = vm_arena_context(&run->arena)->insn;

    vm_run_set_fault(run, VM_FAULT_HELPER, 0, insn);
    run->fault.helper = program->helpers[program->ops[insn].target]->name;
    run->fault.text = "cannot wait in a batch";
    run->state = VM_STATE_FAULT;
}

static void make_call(struct vm_run *run, struct vm_call *call, const uint8_t *memory)
{
    enum vm_state state;

    do {
        state = vm_run_resume(run);
    } while (state == VM_STATE_PREEMPTED);
    if (state == VM_STATE_WAITING) {
        refuse_to_wait(run);
        state = VM_STATE_FAULT;
    }
    call->state = state;
    call->result = state == VM_STATE_DONE ? run->result : 0;
    if (state == VM_STATE_DONE && memory != NULL && call->memory_after != NULL) {
        memcpy(call->memory_after, memory, call->memory_bytes);
    }
}

uint32_t vm_run_batch(struct vm_thread *thread, const struct vm_image *image,
                      const struct vm_entry *entry, struct vm_call *calls, uint32_t count,
                      struct vm_fault *fault)
{
    struct vm_run *run = count != 0 ? vm_run_start(thread, image, entry, NULL) : NULL;
    uint32_t made = 0;
    uint8_t *memory;

    while (run != NULL && made < count && prepare(run, entry, &calls[made], &memory)) {
        make_call(run, &calls[made], memory);
        made++;
        if (run->state == VM_STATE_FAULT) {
            if (fault != NULL) {
                *fault = run->fault;
            }
            break;
        }
        if (made < count) {
            vm_arena_rewind(&run->arena);
        }
    }
    vm_run_free(run);
    return made;
}

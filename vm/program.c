/* SPDX-License-Identifier: Apache-2.0 */
/* A program: copies what the caller describes, finds its functions, validates, measures. Immutable
 * afterwards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm/alloc.h"
#include "vm/lines.h"
#include "vm/validate.h"

uint32_t vm_data_address(uint32_t rodata_bytes)
{
    return VM_IMAGE_BASE + ((rodata_bytes + VM_PAGE_BYTES - 1) & ~(VM_PAGE_BYTES - 1));
}

static enum vm_error out_of_memory(struct vm_diag *diag)
{
    return vm_diag_set(diag, VM_ERROR_NO_MEMORY, VM_NO_INSN, "out of memory");
}

static enum vm_error check_sizes(const struct vm_program_desc *desc, struct vm_diag *diag)
{
    if (desc->insn_count == 0) {
        return vm_diag_set(diag, VM_ERROR_EMPTY, VM_NO_INSN, "%s", vm_error_text(VM_ERROR_EMPTY));
    }
    if (desc->insn_count > VM_INSN_COUNT_MAX) {
        return vm_diag_set(diag, VM_ERROR_TOO_LARGE, VM_NO_INSN,
                           "%u instructions, at most %u are allowed", desc->insn_count,
                           VM_INSN_COUNT_MAX);
    }
    if (desc->rodata_bytes > VM_IMAGE_BYTES_MAX || desc->data_bytes_total > VM_IMAGE_BYTES_MAX ||
        vm_data_address(desc->rodata_bytes) + desc->data_bytes_total >
            VM_IMAGE_BASE + VM_IMAGE_BYTES_MAX) {
        return vm_diag_set(diag, VM_ERROR_TOO_LARGE, VM_NO_INSN,
                           "constants and data take more than %u MiB", VM_IMAGE_BYTES_MAX >> 20);
    }
    if (desc->data_bytes > desc->data_bytes_total) {
        return vm_diag_set(diag, VM_ERROR_USAGE, VM_NO_INSN, "data_bytes above data_bytes_total");
    }
    if (desc->function_count > VM_FUNCTION_COUNT_MAX || desc->entry_count > VM_FUNCTION_COUNT_MAX ||
        desc->helper_count > VM_HELPER_COUNT_MAX) {
        return vm_diag_set(diag, VM_ERROR_TOO_LARGE, VM_NO_INSN,
                           "more than %u functions or entries, or more than %u helpers",
                           VM_FUNCTION_COUNT_MAX, VM_HELPER_COUNT_MAX);
    }
    return VM_ERROR_OK;
}

/* A scalar function is called without the gate that would check its arguments. */
static enum vm_error check_helpers(const struct vm_program_desc *desc, struct vm_diag *diag)
{
    for (uint32_t i = 0; i < desc->helper_count; i++) {
        const struct vm_helper *helper = desc->helpers[i];

        for (int k = 0; helper->scalar != NULL && k < 5; k++) {
            if (helper->kind[k] != VM_ARG_NONE && helper->kind[k] != VM_ARG_SCALAR) {
                return vm_diag_set(diag, VM_ERROR_USAGE, VM_NO_INSN,
                                   "helper %s: a scalar function takes no pointers", helper->name);
            }
        }
    }
    return VM_ERROR_OK;
}

static void *copy_bytes(const void *from, size_t bytes)
{
    void *to = vm_allocate(bytes != 0 ? bytes : 1);

    if (to != NULL && bytes != 0) {
        memcpy(to, from, bytes);
    }
    return to;
}

static enum vm_error copy_parts(struct vm_program *p, const struct vm_program_desc *desc,
                                struct vm_diag *diag)
{
    p->rodata_fd = -1;
    p->name = vm_copy_text(desc->name != NULL ? desc->name : "");
    p->insn_count = desc->insn_count;
    p->insns = copy_bytes(desc->insns, desc->insn_count * sizeof *desc->insns);
    p->ops = vm_allocate_zero(desc->insn_count, sizeof *p->ops);
    p->function_index = vm_allocate_zero(desc->insn_count, sizeof *p->function_index);
    p->helper_count = desc->helper_count;
    p->helpers = copy_bytes(desc->helpers, desc->helper_count * sizeof *desc->helpers);
    p->gates = vm_allocate_zero(desc->helper_count + 1, sizeof *p->gates);
    p->rodata_bytes = desc->rodata_bytes;
    p->rodata = copy_bytes(desc->rodata, desc->rodata_bytes);
    p->data_bytes = desc->data_bytes;
    p->data_bytes_total = desc->data_bytes_total;
    p->data = copy_bytes(desc->data, desc->data_bytes);
    if (p->name == NULL || p->insns == NULL || p->ops == NULL || p->function_index == NULL ||
        p->helpers == NULL || p->gates == NULL || p->rodata == NULL || p->data == NULL) {
        return out_of_memory(diag);
    }
    for (uint32_t i = 0; i < p->helper_count; i++) {
        p->gates[i] = vm_gate_of(p->helpers[i]);
    }
    return VM_ERROR_OK;
}

static int by_start(const void *a, const void *b)
{
    const struct vm_function *x = a;
    const struct vm_function *y = b;

    if (x->start != y->start) {
        return x->start < y->start ? -1 : 1;
    }
    return (y->name[0] != '\0') - (x->name[0] != '\0'); /* the named one first */
}

static uint32_t count_call_targets(const struct vm_program *p)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < p->insn_count; i++) {
        count += p->ops[i].ix == VM_IX_CALL_LOCAL || p->ops[i].ix == VM_IX_LDDW_FUNC;
    }
    return count;
}

/* Collects starts: the described functions, every target of a local call, entries, instruction 0;
 * then sorts and drops duplicates. */
static enum vm_error collect_functions(struct vm_program *p, const struct vm_program_desc *desc,
                                       struct vm_diag *diag)
{
    uint32_t room = desc->function_count + desc->entry_count + count_call_targets(p) + 1;
    uint32_t count = 0;

    p->functions = vm_allocate_zero(room, sizeof *p->functions);
    if (p->functions == NULL) {
        return out_of_memory(diag);
    }
    p->functions[count++] = (struct vm_function){.name = ""};
    for (uint32_t i = 0; i < desc->function_count; i++) {
        p->functions[count++] = (struct vm_function){
            .name = desc->functions[i].name != NULL ? desc->functions[i].name : "",
            .start = desc->functions[i].start};
    }
    for (uint32_t i = 0; i < desc->entry_count; i++) {
        p->functions[count++] = (struct vm_function){.name = "", .start = desc->entries[i].insn};
    }
    for (uint32_t i = 0; i < p->insn_count; i++) {
        if (p->ops[i].ix == VM_IX_CALL_LOCAL || p->ops[i].ix == VM_IX_LDDW_FUNC) {
            p->functions[count++] = (struct vm_function){.name = "", .start = p->ops[i].target};
        }
    }
    qsort(p->functions, count, sizeof *p->functions, by_start);
    for (uint32_t i = 0; i < count; i++) {
        if (p->functions[i].start >= p->insn_count) {
            p->function_count = 0;
            return vm_diag_set(diag, VM_ERROR_BAD_CALL, p->functions[i].start,
                               "function or entry at instruction %u, beyond the end",
                               p->functions[i].start);
        }
        if (p->function_count == 0 ||
            p->functions[p->function_count - 1].start != p->functions[i].start) {
            p->functions[p->function_count++] = p->functions[i];
        }
    }
    return VM_ERROR_OK;
}

/* Sizes, the index, and names that the program owns. */
static enum vm_error finish_functions(struct vm_program *p, struct vm_diag *diag)
{
    bool ok = true;

    for (uint32_t f = 0; f < p->function_count; f++) {
        struct vm_function *function = &p->functions[f];
        uint32_t end = f + 1 < p->function_count ? p->functions[f + 1].start : p->insn_count;

        function->count = end - function->start;
        function->name = vm_copy_text(function->name);
        ok = ok && function->name != NULL;
        for (uint32_t i = function->start; i < end; i++) {
            p->function_index[i] = f;
        }
    }
    return ok ? VM_ERROR_OK : out_of_memory(diag);
}

static enum vm_error copy_entries(struct vm_program *p, const struct vm_program_desc *desc,
                                  struct vm_diag *diag)
{
    static const struct vm_entry whole = {.section = "", .name = "", .insn = 0};
    const struct vm_entry *from = desc->entry_count != 0 ? desc->entries : &whole;
    uint32_t count = desc->entry_count != 0 ? desc->entry_count : 1;

    p->entries = vm_allocate_zero(count, sizeof *p->entries);
    if (p->entries == NULL) {
        return out_of_memory(diag);
    }
    p->entry_count = count;
    for (uint32_t i = 0; i < count; i++) {
        p->entries[i].insn = from[i].insn;
        p->entries[i].section = vm_copy_text(from[i].section != NULL ? from[i].section : "");
        p->entries[i].name = vm_copy_text(from[i].name != NULL ? from[i].name : "");
        if (p->entries[i].section == NULL || p->entries[i].name == NULL) {
            return out_of_memory(diag);
        }
    }
    return VM_ERROR_OK;
}

/* Constants go into a sealed memory file once, so that all arenas share their pages. */
static enum vm_error share_rodata(struct vm_program *p, struct vm_diag *diag)
{
    uint32_t done = 0;

    if (p->rodata_bytes == 0) {
        return VM_ERROR_OK;
    }
    p->rodata_fd = memfd_create("zsvm-rodata", MFD_CLOEXEC);
    while (p->rodata_fd >= 0 && done < p->rodata_bytes) {
        ssize_t n = write(p->rodata_fd, p->rodata + done, p->rodata_bytes - done);

        if (n <= 0) {
            break;
        }
        done += (uint32_t)n;
    }
    if (done < p->rodata_bytes) {
        return vm_diag_set(diag, VM_ERROR_HOST, VM_NO_INSN, "cannot make a memory file: %m");
    }
    return VM_ERROR_OK;
}

static enum vm_error build(struct vm_program *p, const struct vm_program_desc *desc,
                           struct vm_diag *diag)
{
    enum vm_error error = copy_parts(p, desc, diag);

    if (error == VM_ERROR_OK) {
        error = vm_validate_insns(p, diag);
    }
    if (error == VM_ERROR_OK) {
        error = collect_functions(p, desc, diag);
    }
    if (error == VM_ERROR_OK) {
        error = finish_functions(p, diag);
    } else {
        p->function_count = 0; /* names are still the caller's */
    }
    if (error == VM_ERROR_OK) {
        error = vm_validate_flow(p, diag);
    }
    if (error == VM_ERROR_OK) {
        error = vm_measure_frames(p, diag);
    }
    if (error == VM_ERROR_OK) {
        error = copy_entries(p, desc, diag);
    }
    if (error == VM_ERROR_OK) {
        error = vm_copy_lines(p, desc, diag);
    }
    return error == VM_ERROR_OK ? share_rodata(p, diag) : error;
}

struct vm_program *vm_program_create(const struct vm_program_desc *desc, struct vm_diag *diag)
{
    struct vm_program *p;

    if (check_sizes(desc, diag) != VM_ERROR_OK || check_helpers(desc, diag) != VM_ERROR_OK) {
        return NULL;
    }
    p = vm_allocate_zero(1, sizeof *p);
    if (p == NULL) {
        (void)out_of_memory(diag);
        return NULL;
    }
    if (build(p, desc, diag) != VM_ERROR_OK) {
        vm_program_free(p);
        return NULL;
    }
    return p;
}

void vm_program_free(struct vm_program *p)
{
    if (p == NULL) {
        return;
    }
    for (uint32_t i = 0; i < p->function_count; i++) {
        vm_release((char *)p->functions[i].name);
    }
    for (uint32_t i = 0; i < p->entry_count; i++) {
        vm_release((char *)p->entries[i].section);
        vm_release((char *)p->entries[i].name);
    }
    vm_free_lines(p);
    if (p->rodata_fd >= 0) {
        close(p->rodata_fd);
    }
    vm_release(p->name);
    vm_release(p->insns);
    vm_release(p->ops);
    vm_release(p->functions);
    vm_release(p->function_index);
    vm_release(p->entries);
    vm_release(p->helpers);
    vm_release(p->gates);
    vm_release(p->rodata);
    vm_release(p->data);
    vm_release(p);
}

const char *vm_program_name(const struct vm_program *p)
{
    return p->name;
}

const struct vm_insn *vm_program_insns(const struct vm_program *p, uint32_t *count)
{
    *count = p->insn_count;
    return p->insns;
}

uint32_t vm_program_entry_count(const struct vm_program *p)
{
    return p->entry_count;
}

const struct vm_entry *vm_program_entry(const struct vm_program *p, uint32_t index)
{
    return index < p->entry_count ? &p->entries[index] : NULL;
}

const struct vm_entry *vm_program_find_entry(const struct vm_program *p, const char *name)
{
    for (uint32_t i = 0; i < p->entry_count; i++) {
        if (strcmp(p->entries[i].name, name) == 0 || strcmp(p->entries[i].section, name) == 0) {
            return &p->entries[i];
        }
    }
    return NULL;
}

uint32_t vm_program_function_count(const struct vm_program *p)
{
    return p->function_count;
}

const struct vm_function *vm_program_function(const struct vm_program *p, uint32_t index)
{
    return index < p->function_count ? &p->functions[index] : NULL;
}

const struct vm_function *vm_program_function_at(const struct vm_program *p, uint32_t insn)
{
    return insn < p->insn_count ? &p->functions[p->function_index[insn]] : NULL;
}

uint32_t vm_program_helper_count(const struct vm_program *p)
{
    return p->helper_count;
}

const struct vm_helper *vm_program_helper(const struct vm_program *p, uint32_t index)
{
    return index < p->helper_count ? p->helpers[index] : NULL;
}

uint32_t vm_program_stack_bytes(const struct vm_program *p)
{
    return p->stack_bytes;
}

uint32_t vm_program_rodata_bytes(const struct vm_program *p)
{
    return p->rodata_bytes;
}

uint32_t vm_program_data_bytes(const struct vm_program *p)
{
    return p->data_bytes_total;
}

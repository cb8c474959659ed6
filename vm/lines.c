/* SPDX-License-Identifier: Apache-2.0 */
/* Source lines of a program: a table ascending by instruction, and the few file names it points at.
 *
 * A line holds until the next one, but not beyond its function: code without line information must
 * not pass for the end of what stands before it.
 */
#include <stdlib.h>
#include <string.h>

#include "vm/alloc.h"
#include "vm/lines.h"

static enum vm_error out_of_memory(struct vm_diag *diag)
{
    return vm_diag_set(diag, VM_ERROR_NO_MEMORY, VM_NO_INSN, "out of memory");
}

static enum vm_error check_lines(const struct vm_program_desc *desc, struct vm_diag *diag)
{
    for (uint32_t i = 0; i < desc->line_count; i++) {
        const struct vm_line *l = &desc->lines[i];

        if (l->insn >= desc->insn_count || l->file == NULL || l->line == 0 ||
            (i > 0 && l->insn <= l[-1].insn)) {
            return vm_diag_set(diag, VM_ERROR_USAGE, l->insn,
                               "line information is out of order at instruction %u", l->insn);
        }
    }
    return VM_ERROR_OK;
}

/* The program's own copy of `file`; `given` are the caller's pointers of those copied so far. */
static enum vm_error copy_file(struct vm_program *p, const char *file,
                               const char *given[VM_FILE_COUNT_MAX], const char **own,
                               struct vm_diag *diag)
{
    for (uint32_t i = p->file_count; i-- > 0;) {
        if (given[i] == file) {
            *own = p->files[i];
            return VM_ERROR_OK;
        }
    }
    if (p->file_count == VM_FILE_COUNT_MAX) {
        return vm_diag_set(diag, VM_ERROR_TOO_LARGE, VM_NO_INSN, "more than %u source files",
                           VM_FILE_COUNT_MAX);
    }
    char *copy = vm_copy_text(file);
    if (copy == NULL) {
        return out_of_memory(diag);
    }
    given[p->file_count] = file;
    p->files[p->file_count++] = copy;
    *own = copy;
    return VM_ERROR_OK;
}

enum vm_error vm_copy_lines(struct vm_program *p, const struct vm_program_desc *desc,
                            struct vm_diag *diag)
{
    const char *given[VM_FILE_COUNT_MAX];
    enum vm_error error = check_lines(desc, diag);

    if (error != VM_ERROR_OK || desc->line_count == 0) {
        return error;
    }
    p->lines = vm_allocate_zero(desc->line_count, sizeof *p->lines);
    p->files = vm_allocate_zero(VM_FILE_COUNT_MAX, sizeof *p->files);
    if (p->lines == NULL || p->files == NULL) {
        return out_of_memory(diag);
    }
    for (uint32_t i = 0; i < desc->line_count; i++) {
        p->lines[i] = desc->lines[i];
        error = copy_file(p, desc->lines[i].file, given, &p->lines[i].file, diag);
        if (error != VM_ERROR_OK) {
            return error;
        }
    }
    p->line_count = desc->line_count;
    return VM_ERROR_OK;
}

void vm_free_lines(struct vm_program *p)
{
    for (uint32_t i = 0; i < p->file_count; i++) {
        vm_release(p->files[i]);
    }
    vm_release(p->files);
    vm_release(p->lines);
}

const struct vm_line *vm_program_line_at(const struct vm_program *p, uint32_t insn)
{
    const struct vm_function *function = vm_program_function_at(p, insn);
    uint32_t low = 0;
    uint32_t high = p->line_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (p->lines[middle].insn <= insn) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (function == NULL || low == 0 || p->lines[low - 1].insn < function->start) {
        return NULL;
    }
    return &p->lines[low - 1];
}

uint32_t vm_program_line_count(const struct vm_program *p)
{
    return p->line_count;
}

const char *vm_file_short(const char *file)
{
    const char *slash = strrchr(file, '/');

    return file[0] == '/' && slash[1] != '\0' ? slash + 1 : file;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Where the sections of an object go: code sections one after the other, constants from
 * VM_IMAGE_BASE, writable data from the page after them, then what starts as zero.
 *
 * Sums are kept in 64 bits and every step is checked against the image's limit, so no size a file
 * claims can wrap one.
 */
#include "loader/object.h"
#include "vm/limits.h"

static enum vm_error too_large(struct vm_diag *diag, const char *name, const char *what)
{
    return vm_diag_set(diag, VM_ERROR_TOO_LARGE, VM_NO_INSN, "%.64s: %s", ld_name(name), what);
}

/* Reserves `bytes` at the next multiple of `align` after *end; *at gets the place. */
static enum vm_error reserve(uint64_t *end, uint64_t bytes, uint64_t align, const char *name,
                             uint32_t *at, struct vm_diag *diag)
{
    if (align > VM_PAGE_BYTES) {
        return too_large(diag, name, "alignment above 4096 bytes");
    }
    uint64_t start = (*end + align - 1) & ~(align - 1);
    if (bytes > VM_IMAGE_BYTES_MAX || start + bytes > VM_IMAGE_BYTES_MAX) {
        return too_large(diag, name, "constants and data exceed 16 MiB");
    }
    *at = (uint32_t)start;
    *end = start + bytes;
    return VM_ERROR_OK;
}

static enum vm_error place_code(struct ld_object *object, struct ld_layout *layout,
                                struct vm_diag *diag)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < object->section_count; i++) {
        struct ld_section *s = &object->sections[i];
        if (s->kind != LD_CODE) {
            continue;
        }
        s->base = (uint32_t)count;
        count += s->size / sizeof(struct vm_insn);
        if (count > VM_INSN_COUNT_MAX) {
            return too_large(diag, s->name, "more than 1048576 instructions");
        }
    }
    layout->insn_count = (uint32_t)count;
    return VM_ERROR_OK;
}

/* Places the sections of one kind; those without bytes in the file only in a pass of their own,
 * so that zeros come last. */
static enum vm_error place(struct ld_object *object, enum ld_kind kind, bool in_file, uint64_t *end,
                           struct vm_diag *diag)
{
    enum vm_error error = VM_ERROR_OK;

    for (uint32_t i = 0; !error && i < object->section_count; i++) {
        struct ld_section *s = &object->sections[i];
        if (s->kind == kind && (s->bytes != NULL) == in_file) {
            error = reserve(end, s->size, s->align, s->name, &s->base, diag);
        }
    }
    return error;
}

/* Tentative definitions of C (`int x;` with -fcommon): alignment is the symbol's value. */
static enum vm_error place_common(struct ld_object *object, uint64_t *end, struct vm_diag *diag)
{
    enum vm_error error = VM_ERROR_OK;

    for (uint32_t i = 0; !error && i < object->symbol_count; i++) {
        struct ld_symbol *s = &object->symbols[i];
        if (s->section != SHN_COMMON) {
            continue;
        }
        uint64_t align = s->value ? s->value : 1;
        if ((align & (align - 1)) != 0) {
            return vm_diag_set(diag, VM_ERROR_BAD_OBJECT, VM_NO_INSN,
                               "symbol %.64s: alignment is no power of two", ld_name(s->name));
        }
        error = reserve(end, s->size, align, s->name, &s->common, diag);
    }
    return error;
}

/* Offsets become guest addresses. */
static void rebase(struct ld_object *object, uint32_t data_address)
{
    for (uint32_t i = 0; i < object->section_count; i++) {
        struct ld_section *s = &object->sections[i];
        if (s->kind == LD_RODATA) {
            s->base += VM_IMAGE_BASE;
        } else if (s->kind == LD_DATA) {
            s->base += data_address;
        }
    }
    for (uint32_t i = 0; i < object->symbol_count; i++) {
        if (object->symbols[i].section == SHN_COMMON) {
            object->symbols[i].common += data_address;
        }
    }
}

enum vm_error ld_layout(struct ld_object *object, struct ld_layout *layout, struct vm_diag *diag)
{
    uint64_t rodata_end = 0;
    uint64_t data_end = 0;

    *layout = (struct ld_layout){0};
    enum vm_error error = place_code(object, layout, diag);
    if (!error) {
        error = place(object, LD_RODATA, true, &rodata_end, diag);
    }
    if (!error) {
        error = place(object, LD_RODATA, false, &rodata_end, diag);
    }
    if (!error) {
        error = place(object, LD_DATA, true, &data_end, diag);
    }
    layout->data_bytes = (uint32_t)data_end;
    if (!error) {
        error = place(object, LD_DATA, false, &data_end, diag);
    }
    if (!error) {
        error = place_common(object, &data_end, diag);
    }
    if (error) {
        return error;
    }
    layout->rodata_bytes = (uint32_t)rodata_end;
    layout->data_bytes_total = (uint32_t)data_end;
    layout->data_address = vm_data_address(layout->rodata_bytes);
    if (layout->data_address - VM_IMAGE_BASE + data_end > VM_IMAGE_BYTES_MAX) {
        return too_large(diag, NULL, "constants and data exceed 16 MiB");
    }
    rebase(object, layout->data_address);
    return VM_ERROR_OK;
}

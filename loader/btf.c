/* SPDX-License-Identifier: Apache-2.0 */
/* Source lines of instructions, from the sections .BTF (names) and .BTF.ext (lines) that `clang -g`
 * and `gcc -g` write for eBPF.
 *
 * Line information is a courtesy to who reads messages: when any of it is malformed all of it is
 * dropped and the object loads without. Relocations of .BTF.ext are not needed: offsets in it count
 * from the start of their section, and the section is named beside them.
 *
 * The work is linear in the size of .BTF.ext but for a binary search per named section, of which
 * there are no more than code sections; what is kept is at most one line an instruction and
 * VM_FILE_COUNT_MAX names of LD_NAME_BYTES_MAX.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/link.h"
#include "vm/alloc.h"
#include "vm/limits.h"

enum {
    BTF_MAGIC = 0xeb9f,
    BTF_VERSION = 1,
    BTF_HEADER_BYTES = 24,
    EXT_HEADER_BYTES = 24, /* older ones end before the relocations for other kernels */
    LINE_BYTES = 16,       /* a record may be longer: the rest is skipped */
    LINE_COLUMN_BITS = 10,
};

/* Bytes not read yet. */
struct span {
    const uint8_t *at;
    uint32_t bytes;
};

struct reader {
    const struct span *strings;
    const struct ld_section **code; /* code sections by name */
    uint32_t code_count;
    struct vm_line *lines; /* [insn_count]; line 0: none */
    uint32_t insn_count;
    uint32_t file_offset[VM_FILE_COUNT_MAX]; /* names met so far */
    const char *file[VM_FILE_COUNT_MAX];
    uint32_t file_count;
};

/* The next little-endian word. */
static bool take(struct span *from, uint32_t *value)
{
    if (from->bytes < sizeof *value) {
        return false;
    }
    memcpy(value, from->at, sizeof *value);
    from->at += sizeof *value;
    from->bytes -= (uint32_t)sizeof *value;
    return true;
}

/* [offset, offset + bytes) of `whole`. */
static bool part(const struct span *whole, uint32_t offset, uint32_t bytes, struct span *out)
{
    if (offset > whole->bytes || bytes > whole->bytes - offset) {
        return false;
    }
    *out = (struct span){whole->at + offset, bytes};
    return true;
}

/* Checks the header that .BTF and .BTF.ext share; *body gets what follows it. The word at
 * `field` of the header and the one after it are offset and length of *out in the body. */
static bool open_section(const struct ld_section *s, uint32_t header_bytes_min, uint32_t field,
                         struct span *out)
{
    const struct span whole = {s->bytes, s->bytes ? s->size : 0};
    struct span header = whole;
    struct span body;
    uint32_t magic;
    uint32_t header_bytes;
    uint32_t offset;
    uint32_t bytes;

    if (!take(&header, &magic) || !take(&header, &header_bytes) || (magic & 0xffff) != BTF_MAGIC ||
        (magic >> 16 & 0xff) != BTF_VERSION || header_bytes < header_bytes_min ||
        header_bytes > whole.bytes) {
        return false;
    }
    return part(&whole, field, 2 * sizeof offset, &header) && take(&header, &offset) &&
           take(&header, &bytes) && part(&whole, header_bytes, whole.bytes - header_bytes, &body) &&
           part(&body, offset, bytes, out);
}

/* A name out of .BTF, or NULL: outside, endless, too long, or nothing to print into a log. */
static const char *name_at(const struct span *strings, uint32_t offset)
{
    if (offset >= strings->bytes) {
        return NULL;
    }
    const char *name = (const char *)strings->at + offset;
    uint32_t room = strings->bytes - offset;
    uint32_t most = room < LD_NAME_BYTES_MAX ? room : LD_NAME_BYTES_MAX;
    for (uint32_t i = 0; i < most; i++) {
        if (name[i] == '\0') {
            return i ? name : NULL;
        }
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) {
            return NULL;
        }
    }
    return NULL;
}

/* The source file named at `offset` of .BTF, the same pointer each time, or NULL. */
static const char *file_at(struct reader *r, uint32_t offset)
{
    for (uint32_t i = r->file_count; i-- > 0;) {
        if (r->file_offset[i] == offset) {
            return r->file[i];
        }
    }
    const char *name = name_at(r->strings, offset);
    if (!name || r->file_count == VM_FILE_COUNT_MAX) {
        return NULL;
    }
    while (name[0] == '.' && name[1] == '/' && name[2] != '\0') {
        name += 2;
    }
    r->file_offset[r->file_count] = offset;
    r->file[r->file_count++] = name;
    return name;
}

static int compare_names(const char *a, const char *b)
{
    return strncmp(a, b, LD_NAME_BYTES_MAX);
}

static int by_name(const void *a, const void *b)
{
    const struct ld_section *const *x = a;
    const struct ld_section *const *y = b;
    return compare_names((*x)->name, (*y)->name);
}

/* The one code section of this name. NULL when there is none, or when two share the name: then
 * nobody can tell whose lines these are. */
static const struct ld_section *find_code(const struct reader *r, const char *name)
{
    uint32_t low = 0;
    uint32_t high = r->code_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_names(r->code[middle]->name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == r->code_count || compare_names(r->code[low]->name, name) != 0 ||
        (low + 1 < r->code_count && compare_names(r->code[low + 1]->name, name) == 0)) {
        return NULL;
    }
    return r->code[low];
}

/* One record; `s` is NULL when its section is not loaded. Line 0 is code that the compiler made
 * up: it goes with what stands before it. */
static bool read_line(struct reader *r, const struct ld_section *s, struct span record)
{
    uint32_t offset = 0;
    uint32_t file_offset = 0;
    uint32_t text_offset;
    uint32_t position = 0;

    if (!take(&record, &offset) || !take(&record, &file_offset) || !take(&record, &text_offset) ||
        !take(&record, &position)) {
        return false;
    }
    const char *file = file_at(r, file_offset);
    if (!file || offset % sizeof(struct vm_insn) != 0 || (s && offset >= s->size)) {
        return false;
    }
    uint32_t line = position >> LINE_COLUMN_BITS;
    if (s && line) {
        uint32_t insn = s->base + offset / (uint32_t)sizeof(struct vm_insn);
        r->lines[insn] = (struct vm_line){.insn = insn, .line = line, .file = file};
    }
    return true;
}

/* The records of one section, and its name before them. */
static bool read_block(struct reader *r, struct span *info, uint32_t record_bytes)
{
    uint32_t name_offset;
    uint32_t count;

    if (!take(info, &name_offset) || !take(info, &count) || count == 0 ||
        count > info->bytes / record_bytes) {
        return false;
    }
    const char *name = name_at(r->strings, name_offset);
    if (!name) {
        return false;
    }
    const struct ld_section *s = find_code(r, name);
    for (uint32_t i = 0; i < count; i++) {
        if (!read_line(r, s, (struct span){info->at, record_bytes})) {
            return false;
        }
        info->at += record_bytes;
        info->bytes -= record_bytes;
    }
    return true;
}

static bool read_blocks(struct reader *r, struct span info)
{
    uint32_t record_bytes;

    if (!take(&info, &record_bytes) || record_bytes < LINE_BYTES ||
        record_bytes % sizeof(uint32_t) != 0) {
        return false;
    }
    for (uint32_t blocks = 0; info.bytes; blocks++) {
        if (blocks == r->code_count || !read_block(r, &info, record_bytes)) {
            return false;
        }
    }
    return true;
}

/* The only section of this name, or NULL. */
static const struct ld_section *find_section(const struct ld_object *object, const char *name)
{
    const struct ld_section *found = NULL;

    for (uint32_t i = 0; i < object->section_count; i++) {
        if (strcmp(object->sections[i].name, name) == 0) {
            if (found) {
                return NULL;
            }
            found = &object->sections[i];
        }
    }
    return found;
}

static bool prepare(struct reader *r, const struct ld_object *object)
{
    r->code = vm_allocate_zero((size_t)object->section_count + 1, sizeof *r->code);
    r->lines = vm_allocate_zero((size_t)r->insn_count + 1, sizeof *r->lines);
    if (!r->code || !r->lines) {
        return false;
    }
    for (uint32_t i = 0; i < object->section_count; i++) {
        if (object->sections[i].kind == LD_CODE) {
            r->code[r->code_count++] = &object->sections[i];
        }
    }
    qsort(r->code, r->code_count, sizeof *r->code, by_name);
    return true;
}

/* Closes the gaps between the instructions that have a line. */
static uint32_t compact(struct vm_line *lines, uint32_t insn_count)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < insn_count; i++) {
        if (lines[i].line) {
            lines[count++] = lines[i];
        }
    }
    return count;
}

void ld_read_lines(struct ld_linker *l)
{
    const struct ld_section *btf = find_section(&l->object, ".BTF");
    const struct ld_section *ext = find_section(&l->object, ".BTF.ext");
    struct reader r = {.insn_count = l->layout.insn_count};
    struct span strings;
    struct span info;

    if (!btf || !ext || !open_section(btf, BTF_HEADER_BYTES, 16, &strings) ||
        !open_section(ext, EXT_HEADER_BYTES, 16, &info) || info.bytes == 0) {
        return;
    }
    r.strings = &strings;
    if (prepare(&r, &l->object) && read_blocks(&r, info)) {
        l->line_count = compact(r.lines, r.insn_count);
        l->lines = r.lines;
        r.lines = NULL;
    }
    vm_release(r.code);
    vm_release(r.lines);
}

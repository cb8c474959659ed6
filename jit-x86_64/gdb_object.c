/* SPDX-License-Identifier: Apache-2.0 */
/* The object file gdb is given: ELF with the code's address and no code, a symbol for each
 * function, DWARF 4 for source lines, and how rsp moves, so that gdb gets from a helper through the
 * program to the caller. Addresses in DWARF are final, there is nothing to relocate. */
#include <assert.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "jit-x86_64/decode.h"
#include "jit-x86_64/symbols.h"
#include "jit-x86_64/x86.h"
#include "vm/alloc.h"

/* Names from the DWARF standard; what they are is told there. */
enum {
    TAG_COMPILE_UNIT = 0x11,
    TAG_SUBPROGRAM = 0x2e,
    AT_NAME = 0x03,
    AT_STMT_LIST = 0x10,
    AT_LOW_PC = 0x11,
    AT_HIGH_PC = 0x12,
    AT_LANGUAGE = 0x13,
    FORM_ADDR = 0x01,
    FORM_DATA2 = 0x05,
    FORM_STRING = 0x08,
    FORM_SEC_OFFSET = 0x17,
    LANGUAGE_C99 = 0x0c,
    LNS_COPY = 0x01,
    LNS_ADVANCE_LINE = 0x03,
    LNS_SET_FILE = 0x04,
    LNE_END_SEQUENCE = 0x01,
    LNE_SET_ADDRESS = 0x02,
    CFA_ADVANCE_LOC4 = 0x04,
    CFA_UNDEFINED = 0x07,
    CFA_DEF_CFA = 0x0c,
    CFA_DEF_CFA_OFFSET = 0x0e,
    CFA_OFFSET = 0x80,
    REG_OF_RSP = 7,
    REG_OF_RETURN = 16,
    WORD = 8, /* of the stack, and of addresses */
};

enum section {
    SECTION_NONE,
    SECTION_TEXT,
    SECTION_SYMTAB,
    SECTION_STRTAB, /* of symbols and of sections */
    SECTION_FRAME,
    SECTION_INFO, /* this one and the next only with line information */
    SECTION_ABBREV,
    SECTION_LINE,
    SECTION_COUNT,
};

/* Grows; errors are sticky, who drives looks at the end. */
struct bytes {
    uint8_t *data;
    size_t count;
    size_t capacity;
    bool failed;
};

struct object {
    const struct symbols_input *in;
    struct bytes file;
    struct bytes strings;
    Elf64_Shdr sections[SECTION_COUNT];
};

/* ---- bytes ---------------------------------------------------------------------------------- */

static void put(struct bytes *b, const void *data, size_t count)
{
    if (b->capacity - b->count < count && !b->failed) {
        size_t capacity = 2 * b->capacity + count + 256;
        uint8_t *grown = vm_reallocate(b->data, capacity);
        b->failed = grown == NULL;
        b->data = grown != NULL ? grown : b->data;
        b->capacity = grown != NULL ? capacity : b->capacity;
    }
    if (!b->failed && count != 0) {
        memcpy(b->data + b->count, data, count);
        b->count += count;
    }
}

static void put8(struct bytes *b, uint8_t value)
{
    put(b, &value, sizeof value);
}

static void put16(struct bytes *b, uint16_t value)
{
    put(b, &value, sizeof value);
}

static void put32(struct bytes *b, uint32_t value)
{
    put(b, &value, sizeof value);
}

static void put64(struct bytes *b, uint64_t value)
{
    put(b, &value, sizeof value);
}

static void put_string(struct bytes *b, const char *text)
{
    put(b, text, strlen(text) + 1);
}

static void put_unsigned(struct bytes *b, uint64_t value)
{
    while (value >= 0x80) {
        put8(b, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    put8(b, (uint8_t)value);
}

static void put_signed(struct bytes *b, int64_t value)
{
    while (value < -0x40 || value >= 0x40) {
        put8(b, (uint8_t)((value & 0x7f) | 0x80));
        value >>= 7;
    }
    put8(b, (uint8_t)(value & 0x7f));
}

/* A 32-bit length stands where this was called; set_length counts what came behind it. */
static size_t put_length(struct bytes *b)
{
    size_t at = b->count;
    put32(b, 0);
    return at;
}

static void set_length(struct bytes *b, size_t at)
{
    uint32_t length = (uint32_t)(b->count - at - sizeof length);
    if (!b->failed) {
        memcpy(b->data + at, &length, sizeof length);
    }
}

static uint32_t add_string(struct object *o, const char *text)
{
    uint32_t at = (uint32_t)o->strings.count;
    put_string(&o->strings, text);
    return at;
}

static Elf64_Shdr *begin_section(struct object *o, enum section which, const char *name,
                                 uint32_t type)
{
    while (o->file.count % WORD != 0 && !o->file.failed) {
        put8(&o->file, 0);
    }
    o->sections[which] = (Elf64_Shdr){.sh_name = add_string(o, name),
                                      .sh_type = type,
                                      .sh_offset = o->file.count,
                                      .sh_addralign = 1};
    return &o->sections[which];
}

static void end_section(struct object *o, enum section which)
{
    o->sections[which].sh_size = o->file.count - o->sections[which].sh_offset;
}

static uint64_t address_of(const struct object *o, uint32_t insn)
{
    return (uintptr_t)o->in->text + o->in->offsets[insn];
}

/* ---- symbols -------------------------------------------------------------------------------- */

static void put_symbol(struct object *o, const char *name, size_t from, size_t to)
{
    Elf64_Sym symbol = {.st_name = add_string(o, name),
                        .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC),
                        .st_shndx = SECTION_TEXT,
                        .st_value = from,
                        .st_size = to - from};
    put(&o->file, &symbol, sizeof symbol);
}

static void put_symbols(struct object *o)
{
    const struct vm_program *p = o->in->program;
    const uint32_t *offsets = o->in->offsets;
    Elf64_Shdr *text = begin_section(o, SECTION_TEXT, ".text", SHT_NOBITS);
    text->sh_flags = SHF_ALLOC | SHF_EXECINSTR;
    text->sh_addr = (uintptr_t)o->in->text;
    text->sh_size = o->in->text_bytes;

    Elf64_Shdr *table = begin_section(o, SECTION_SYMTAB, ".symtab", SHT_SYMTAB);
    table->sh_link = SECTION_STRTAB;
    table->sh_entsize = sizeof(Elf64_Sym);
    table->sh_addralign = WORD;
    put(&o->file, &(Elf64_Sym){0}, sizeof(Elf64_Sym));
    for (uint32_t i = 0; i < p->function_count; i++) {
        const struct vm_function *f = &p->functions[i];
        if (f->name[0] != '\0') {
            put_symbol(o, f->name, offsets[f->start], offsets[f->start + f->count]);
        }
    }
    if (offsets[p->insn_count] < o->in->text_bytes) {
        put_symbol(o, SYMBOLS_FAULT, offsets[p->insn_count], o->in->text_bytes);
    }
    end_section(o, SECTION_SYMTAB);
    table->sh_info = (uint32_t)(table->sh_size / sizeof(Elf64_Sym)); /* all are local */
}

/* ---- unwinding ------------------------------------------------------------------------------ */

/* Bytes by which the instruction lowers rsp; *lost when nobody can tell. */
static int32_t pushes(const struct decoded *d, bool *lost)
{
    switch (d->kind) {
    case KIND_PUSH:
    case KIND_PUSH_IMM: return WORD;
    case KIND_POP: return -WORD;
    case KIND_ALU:
        if (d->has_rm && d->rm == X86_RSP && d->result == RESULT_RM) {
            *lost = d->alu == X86_AND;
            return d->alu == X86_SUB ? (int32_t)d->imm : d->alu == X86_ADD ? -(int32_t)d->imm : 0;
        }
        return 0;
    default: return 0;
    }
}

static void put_frame_change(struct bytes *b, int32_t depth, bool lost)
{
    if (lost) {
        put8(b, CFA_UNDEFINED);
        put_unsigned(b, REG_OF_RETURN);
        return;
    }
    put8(b, CFA_DEF_CFA_OFFSET);
    put_unsigned(b, (uint64_t)depth);
}

/* How rsp stands in text[from..to), where rsp is 8 below the caller's at the start and after each
 * end of a function. */
static void put_frames(struct object *o, size_t from, size_t to)
{
    struct bytes *b = &o->file;
    struct decoded d;
    size_t length = put_length(b);
    size_t told = from;
    int32_t depth = WORD;

    put32(b, 0); /* the description that is common to all */
    put64(b, (uintptr_t)o->in->text + from);
    put64(b, to - from);
    for (size_t at = from; at < to && decode_one(o->in->text + at, to - at, &d); at += d.size) {
        bool lost = false;
        int32_t change = pushes(&d, &lost);

        depth += change;
        if (change != 0 || lost || d.kind == KIND_TRAP) {
            put8(b, CFA_ADVANCE_LOC4);
            put32(b, (uint32_t)(at + d.size - told));
            told = at + d.size;
            put_frame_change(b, depth, lost);
        }
        if (d.kind == KIND_TRAP) { /* behind the end of a raised fault */
            put8(b, CFA_OFFSET | REG_OF_RETURN);
            put_unsigned(b, 1);
        }
    }
    set_length(b, length);
}

static void put_frame_section(struct object *o)
{
    const uint32_t *offsets = o->in->offsets;
    uint32_t count = o->in->program->insn_count;
    struct bytes *b = &o->file;

    begin_section(o, SECTION_FRAME, ".debug_frame", SHT_PROGBITS);
    size_t length = put_length(b);
    put32(b, UINT32_MAX); /* this is the common description */
    put8(b, 1);
    put_string(b, "");
    put_unsigned(b, 1);
    put_signed(b, -WORD);
    put8(b, REG_OF_RETURN);
    put8(b, CFA_DEF_CFA);
    put_unsigned(b, REG_OF_RSP);
    put_unsigned(b, WORD);
    put8(b, CFA_OFFSET | REG_OF_RETURN);
    put_unsigned(b, 1);
    set_length(b, length);
    put_frames(o, 0, offsets[count]);
    if (offsets[count] < o->in->text_bytes) {
        put_frames(o, offsets[count], o->in->text_bytes);
    }
    end_section(o, SECTION_FRAME);
}

/* ---- source lines --------------------------------------------------------------------------- */

static void put_abbreviations(struct object *o)
{
    static const uint8_t table[] = {
        1,
        TAG_COMPILE_UNIT,
        1,
        AT_NAME,
        FORM_STRING,
        AT_LANGUAGE,
        FORM_DATA2,
        AT_LOW_PC,
        FORM_ADDR,
        AT_HIGH_PC,
        FORM_ADDR,
        AT_STMT_LIST,
        FORM_SEC_OFFSET,
        0,
        0,
        2,
        TAG_SUBPROGRAM,
        0,
        AT_NAME,
        FORM_STRING,
        AT_LOW_PC,
        FORM_ADDR,
        AT_HIGH_PC,
        FORM_ADDR,
        0,
        0,
        0,
    };
    begin_section(o, SECTION_ABBREV, ".debug_abbrev", SHT_PROGBITS);
    put(&o->file, table, sizeof table);
    end_section(o, SECTION_ABBREV);
}

static void put_info(struct object *o)
{
    const struct vm_program *p = o->in->program;
    struct bytes *b = &o->file;

    begin_section(o, SECTION_INFO, ".debug_info", SHT_PROGBITS);
    size_t length = put_length(b);
    put16(b, 4); /* version of DWARF */
    put32(b, 0); /* abbreviations */
    put8(b, WORD);
    put_unsigned(b, 1);
    put_string(b, p->name);
    put16(b, LANGUAGE_C99);
    put64(b, address_of(o, 0));
    put64(b, address_of(o, p->insn_count));
    put32(b, 0); /* lines */
    for (uint32_t i = 0; i < p->function_count; i++) {
        const struct vm_function *f = &p->functions[i];
        put_unsigned(b, 2);
        put_string(b, f->name);
        put64(b, address_of(o, f->start));
        put64(b, address_of(o, f->start + f->count));
    }
    put_unsigned(b, 0);
    set_length(b, length);
    end_section(o, SECTION_INFO);
}

static void put_address(struct object *o, uint32_t insn)
{
    struct bytes *b = &o->file;

    put8(b, 0);
    put_unsigned(b, 1 + WORD);
    put8(b, LNE_SET_ADDRESS);
    put64(b, address_of(o, insn));
}

static uint32_t file_number(const struct vm_program *p, const char *file)
{
    for (uint32_t i = 0; i < p->file_count; i++) {
        if (p->files[i] == file) {
            return i + 1;
        }
    }
    return 1;
}

static void put_rows(struct object *o)
{
    const struct vm_program *p = o->in->program;
    struct bytes *b = &o->file;
    int64_t line = 1;

    for (uint32_t i = 0; i < p->line_count; i++) {
        const struct vm_line *l = &p->lines[i];
        put_address(o, l->insn);
        put8(b, LNS_SET_FILE);
        put_unsigned(b, file_number(p, l->file));
        put8(b, LNS_ADVANCE_LINE);
        put_signed(b, (int64_t)l->line - line);
        put8(b, LNS_COPY);
        line = l->line;
    }
    put_address(o, p->insn_count);
    put8(b, 0);
    put_unsigned(b, 1);
    put8(b, LNE_END_SEQUENCE);
}

static void put_lines(struct object *o)
{
    static const uint8_t operand_counts[] = {0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1};
    const struct vm_program *p = o->in->program;
    struct bytes *b = &o->file;

    begin_section(o, SECTION_LINE, ".debug_line", SHT_PROGBITS);
    size_t length = put_length(b);
    put16(b, 4);
    size_t header = put_length(b);
    put8(b, 1); /* bytes of the shortest instruction */
    put8(b, 1); /* operations of an instruction */
    put8(b, 1); /* rows begin statements */
    put8(b, 1); /* special opcodes are not used: their line base, range and first number */
    put8(b, 1);
    put8(b, 1 + sizeof operand_counts);
    put(b, operand_counts, sizeof operand_counts);
    put8(b, 0); /* no folders */
    for (uint32_t i = 0; i < p->file_count; i++) {
        put_string(b, p->files[i]);
        put(b, (const uint8_t[3]){0}, 3); /* folder, time, length: not told */
    }
    put8(b, 0);
    set_length(b, header);
    put_rows(o);
    set_length(b, length);
    end_section(o, SECTION_LINE);
}

/* ---- the file ------------------------------------------------------------------------------- */

static void put_header(struct object *o)
{
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_REL,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_ehsize = sizeof header,
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shstrndx = SECTION_STRTAB};
    put(&o->file, &header, sizeof header);
}

/* Strings and the table of sections come last: all others add to them. */
static void finish(struct object *o, unsigned section_count)
{
    begin_section(o, SECTION_STRTAB, ".strtab", SHT_STRTAB);
    put(&o->file, o->strings.data, o->strings.count);
    end_section(o, SECTION_STRTAB);
    while (o->file.count % WORD != 0 && !o->file.failed) {
        put8(&o->file, 0);
    }
    uint64_t table = o->file.count;
    put(&o->file, o->sections, section_count * sizeof *o->sections);
    if (!o->file.failed) {
        Elf64_Ehdr header;
        memcpy(&header, o->file.data, sizeof header);
        header.e_shoff = table;
        header.e_shnum = (uint16_t)section_count;
        memcpy(o->file.data, &header, sizeof header);
    }
}

uint8_t *gdb_object(const struct symbols_input *in, size_t *bytes)
{
    struct object o = {.in = in};
    bool has_lines = in->program->line_count != 0;

    put_header(&o);
    (void)add_string(&o, "");
    put_symbols(&o);
    put_frame_section(&o);
    if (has_lines) {
        put_info(&o);
        put_abbreviations(&o);
        put_lines(&o);
    }
    finish(&o, has_lines ? SECTION_COUNT : SECTION_INFO);
    bool failed = o.file.failed || o.strings.failed;
    vm_release(o.strings.data);
    if (failed) {
        vm_release(o.file.data);
        return NULL;
    }
    *bytes = o.file.count;
    return o.file.data;
}

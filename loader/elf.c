/* SPDX-License-Identifier: Apache-2.0 */
/* Reads an ELF file into struct ld_object. libelf decodes the headers, but only after the bytes it
 * will follow have been checked here: it is made for files that a compiler wrote, not an enemy.
 */
#include <libelf.h>
#include <stdlib.h>
#include <string.h>

#include "loader/object.h"
#include "vm/alloc.h"

#define ELF_MACHINE_BPF 247u /* EM_BPF; bpf-gcc's and clang's objects carry it alike */

struct strings {
    const char *text;
    uint32_t size;
};

const char *ld_name(const char *name)
{
    return name && name[0] ? name : "(unnamed)";
}

static enum vm_error refuse(struct vm_diag *diag, const char *why)
{
    return vm_diag_set(diag, VM_ERROR_BAD_OBJECT, VM_NO_INSN, "%s", why);
}

/* The file header, from bytes that may be anything. */
static enum vm_error check_header(const uint8_t *bytes, size_t length, struct vm_diag *diag)
{
    Elf64_Ehdr h;
    if (length < SELFMAG || memcmp(bytes, ELFMAG, SELFMAG) != 0) {
        return refuse(diag, "not an ELF object file");
    }
    if (length < sizeof h) {
        return refuse(diag, "ELF header is cut short");
    }
    memcpy(&h, bytes, sizeof h);
    if (h.e_ident[EI_CLASS] != ELFCLASS64) {
        return refuse(diag, "not a 64-bit object");
    }
    if (h.e_ident[EI_DATA] != ELFDATA2LSB) {
        return refuse(diag, "not a little-endian object");
    }
    if (h.e_ident[EI_VERSION] != EV_CURRENT || h.e_version != EV_CURRENT) {
        return refuse(diag, "unknown ELF version");
    }
    if (h.e_machine != ELF_MACHINE_BPF) {
        return vm_diag_set(diag, VM_ERROR_BAD_OBJECT, VM_NO_INSN, "not an eBPF object (machine %u)",
                           h.e_machine);
    }
    if (h.e_type != ET_REL) {
        return refuse(diag, "not a relocatable object (compile with -c)");
    }
    if (h.e_shnum == 0 || h.e_shentsize != sizeof(Elf64_Shdr) || h.e_shstrndx >= h.e_shnum) {
        return refuse(diag, "no usable section table");
    }
    if (h.e_shoff % _Alignof(Elf64_Shdr) != 0 || h.e_shoff < sizeof h || h.e_shoff > length ||
        (length - h.e_shoff) / sizeof(Elf64_Shdr) < h.e_shnum) {
        return refuse(diag, "section table is outside the file");
    }
    return VM_ERROR_OK;
}

/* The string at `offset`, or NULL when it is outside the table. read_strings has checked that the
 * table ends in a NUL. */
static const char *string_at(const struct strings *table, uint64_t offset)
{
    return offset < table->size ? table->text + offset : NULL;
}

/* Names end up in log lines: a control character in any of them refuses the object. */
static bool is_printable(const uint8_t *text, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        if ((text[i] < 0x20 && text[i] != '\0') || text[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static enum vm_error read_strings(const struct ld_object *object, uint64_t index,
                                  struct strings *out, struct vm_diag *diag)
{
    const struct ld_section *s = index < object->section_count ? &object->sections[index] : NULL;
    if (!s || s->type != SHT_STRTAB || !s->bytes || s->size == 0 || s->bytes[s->size - 1] != '\0') {
        return vm_diag_set(diag, VM_ERROR_BAD_OBJECT, VM_NO_INSN,
                           "section %llu is not a string table", (unsigned long long)index);
    }
    if (!is_printable(s->bytes, s->size)) {
        return vm_diag_set(diag, VM_ERROR_BAD_OBJECT, VM_NO_INSN,
                           "section %llu: a name holds control characters",
                           (unsigned long long)index);
    }
    *out = (struct strings){(const char *)s->bytes, s->size};
    return VM_ERROR_OK;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* What a section is to us, by its flags; kernel conventions that are marked as data go by name. */
static enum ld_kind classify(const struct ld_section *s, uint64_t flags)
{
    static const char *const not_ours[] = {".debug", ".BTF", ".eh_frame", ".llvm_addrsig"};

    if (!(flags & SHF_ALLOC) || (s->type != SHT_PROGBITS && s->type != SHT_NOBITS)) {
        return LD_IGNORED;
    }
    for (size_t i = 0; i < sizeof not_ours / sizeof not_ours[0]; i++) {
        if (starts_with(s->name, not_ours[i])) {
            return LD_IGNORED;
        }
    }
    if (strcmp(s->name, "license") == 0 || strcmp(s->name, "version") == 0) {
        return LD_IGNORED;
    }
    if (strcmp(s->name, ".maps") == 0 || strcmp(s->name, "maps") == 0) {
        return LD_MAPS;
    }
    if (flags & SHF_EXECINSTR) {
        return LD_CODE;
    }
    return flags & SHF_WRITE ? LD_DATA : LD_RODATA;
}

static enum vm_error read_section(struct ld_object *object, uint32_t index, const Elf64_Shdr *h,
                                  size_t length, struct vm_diag *diag)
{
    struct ld_section *s = &object->sections[index];
    bool in_file = h->sh_type != SHT_NOBITS && h->sh_type != SHT_NULL;

    if (in_file && (h->sh_offset > length || h->sh_size > length - h->sh_offset)) {
        return vm_diag_set(diag, VM_ERROR_BAD_OBJECT, VM_NO_INSN, "section %u is outside the file",
                           index);
    }
    if (h->sh_size > UINT32_MAX) {
        return vm_diag_set(diag, VM_ERROR_TOO_LARGE, VM_NO_INSN, "section %u is too large", index);
    }
    s->bytes = in_file ? object->copy + h->sh_offset : NULL;
    s->size = h->sh_type != SHT_NULL ? (uint32_t)h->sh_size : 0;
    s->type = h->sh_type;
    s->info = h->sh_info;
    return VM_ERROR_OK;
}

/* The second look at a section, when names are known. */
static enum vm_error name_section(struct ld_section *s, uint32_t index, const Elf64_Shdr *h,
                                  const struct strings *names, struct vm_diag *diag)
{
    uint64_t align = h->sh_addralign ? h->sh_addralign : 1;

    s->name = string_at(names, h->sh_name);
    if (!s->name) {
        return vm_diag_set(diag, VM_ERROR_BAD_OBJECT, VM_NO_INSN, "name of section %u is broken",
                           index);
    }
    s->kind = classify(s, h->sh_flags);
    if (s->kind == LD_IGNORED) {
        return VM_ERROR_OK;
    }
    if ((align & (align - 1)) != 0 || align > UINT32_MAX) {
        return vm_diag_set(diag, VM_ERROR_BAD_OBJECT, VM_NO_INSN,
                           "section %.64s: alignment is no power of two", ld_name(s->name));
    }
    s->align = (uint32_t)align;
    if (h->sh_flags & SHF_COMPRESSED) {
        return vm_diag_set(diag, VM_ERROR_BAD_OBJECT, VM_NO_INSN,
                           "section %.64s: compressed sections are not supported",
                           ld_name(s->name));
    }
    if (s->kind == LD_CODE && (!s->bytes || s->size % sizeof(struct vm_insn) != 0)) {
        return vm_diag_set(diag, VM_ERROR_BAD_OBJECT, VM_NO_INSN,
                           "section %.64s: size %u is not a whole number of instructions",
                           ld_name(s->name), s->size);
    }
    return VM_ERROR_OK;
}

static const Elf64_Shdr *section_header(Elf *elf, uint32_t index)
{
    Elf_Scn *scn = elf_getscn(elf, index);
    return scn ? elf64_getshdr(scn) : NULL;
}

static enum vm_error read_sections(struct ld_object *object, Elf *elf, size_t length,
                                   struct vm_diag *diag)
{
    const Elf64_Ehdr *header = elf64_getehdr(elf);
    struct strings names;
    enum vm_error error = VM_ERROR_OK;

    if (!header) {
        return refuse(diag, "libelf cannot read the file header");
    }
    object->section_count = header->e_shnum;
    object->sections = vm_allocate_zero(object->section_count, sizeof *object->sections);
    if (!object->sections) {
        return vm_diag_set(diag, VM_ERROR_NO_MEMORY, VM_NO_INSN, "out of memory");
    }
    for (uint32_t i = 0; !error && i < object->section_count; i++) {
        const Elf64_Shdr *h = section_header(elf, i);
        error = h ? read_section(object, i, h, length, diag)
                  : refuse(diag, "libelf cannot read a section header");
    }
    if (!error) {
        error = read_strings(object, header->e_shstrndx, &names, diag);
    }
    for (uint32_t i = 0; !error && i < object->section_count; i++) {
        error = name_section(&object->sections[i], i, section_header(elf, i), &names, diag);
    }
    return error;
}

/* The only symbol table, or NULL. More than one is refused. */
static enum vm_error find_symtab(Elf *elf, uint32_t count, uint32_t *index, struct vm_diag *diag)
{
    *index = 0;
    for (uint32_t i = 1; i < count; i++) {
        if (section_header(elf, i)->sh_type == SHT_SYMTAB) {
            if (*index) {
                return refuse(diag, "more than one symbol table");
            }
            *index = i;
        }
    }
    return VM_ERROR_OK;
}

static enum vm_error read_symbol(struct ld_object *object, uint32_t index, const Elf64_Sym *from,
                                 const struct strings *names, struct vm_diag *diag)
{
    struct ld_symbol *s = &object->symbols[index];

    s->name = string_at(names, from->st_name);
    if (!s->name) {
        return vm_diag_set(diag, VM_ERROR_BAD_OBJECT, VM_NO_INSN, "name of symbol %u is broken",
                           index);
    }
    s->value = from->st_value;
    s->size = from->st_size;
    s->type = ELF64_ST_TYPE(from->st_info);
    s->bind = ELF64_ST_BIND(from->st_info);
    s->section = from->st_shndx;
    if (s->section < SHN_LORESERVE && s->section >= object->section_count) {
        return vm_diag_set(diag, VM_ERROR_BAD_OBJECT, VM_NO_INSN,
                           "symbol %.64s: there is no section %u", ld_name(s->name), s->section);
    }
    if (s->type == STT_SECTION && s->name[0] == '\0' && s->section < SHN_LORESERVE) {
        s->name = object->sections[s->section].name;
    }
    return VM_ERROR_OK;
}

static enum vm_error read_symbols(struct ld_object *object, Elf *elf, struct vm_diag *diag)
{
    uint32_t table = 0;
    struct strings names;
    enum vm_error error = find_symtab(elf, object->section_count, &table, diag);

    if (error || !table) {
        return error;
    }
    const struct ld_section *s = &object->sections[table];
    error = read_strings(object, section_header(elf, table)->sh_link, &names, diag);
    if (error) {
        return error;
    }
    if (s->size % sizeof(Elf64_Sym) != 0) {
        return refuse(diag, "symbol table is cut short");
    }
    object->symbol_count = s->size / (uint32_t)sizeof(Elf64_Sym);
    object->symbols = vm_allocate_zero(object->symbol_count + 1, sizeof *object->symbols);
    if (!object->symbols) {
        return vm_diag_set(diag, VM_ERROR_NO_MEMORY, VM_NO_INSN, "out of memory");
    }
    for (uint32_t i = 0; !error && i < object->symbol_count; i++) {
        Elf64_Sym symbol;
        memcpy(&symbol, s->bytes + (size_t)i * sizeof symbol, sizeof symbol);
        error = read_symbol(object, i, &symbol, &names, diag);
    }
    return error;
}

/* Relocations of sections that are loaded: whole entries, the right table, and in sum no longer
 * than the file, so that overlapping tables cannot multiply the work. */
static enum vm_error check_relocations(const struct ld_object *object, size_t length,
                                       struct vm_diag *diag)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < object->section_count; i++) {
        const struct ld_section *s = &object->sections[i];
        if (s->type != SHT_REL && s->type != SHT_RELA) {
            continue;
        }
        if (s->info >= object->section_count) {
            return vm_diag_set(diag, VM_ERROR_BAD_RELOCATION, VM_NO_INSN,
                               "section %.64s: there is no section %u", ld_name(s->name), s->info);
        }
        if (object->sections[s->info].kind == LD_IGNORED) {
            continue;
        }
        total += s->size;
        if (s->type == SHT_RELA || s->size % sizeof(Elf64_Rel) != 0 || total > length) {
            return vm_diag_set(diag, VM_ERROR_BAD_RELOCATION, VM_NO_INSN,
                               "section %.64s: not a table of plain relocations", ld_name(s->name));
        }
    }
    return VM_ERROR_OK;
}

static enum vm_error read_all(struct ld_object *object, size_t length, struct vm_diag *diag)
{
    if (elf_version(EV_CURRENT) == EV_NONE) {
        return refuse(diag, "libelf is too old");
    }
    Elf *elf = elf_memory((char *)object->copy, length);
    if (!elf) {
        return refuse(diag, "libelf cannot read the file");
    }
    enum vm_error error = read_sections(object, elf, length, diag);
    if (!error) {
        error = read_symbols(object, elf, diag);
    }
    if (!error) {
        error = check_relocations(object, length, diag);
    }
    elf_end(elf);
    return error;
}

enum vm_error ld_object_open(struct ld_object *object, const uint8_t *bytes, size_t length,
                             struct vm_diag *diag)
{
    *object = (struct ld_object){0};
    if (length > LD_OBJECT_BYTES_MAX) {
        return vm_diag_set(diag, VM_ERROR_TOO_LARGE, VM_NO_INSN, "object is larger than %u bytes",
                           LD_OBJECT_BYTES_MAX);
    }
    enum vm_error error = check_header(bytes, length, diag);
    if (error) {
        return error;
    }
    object->copy = vm_allocate(length);
    if (!object->copy) {
        return vm_diag_set(diag, VM_ERROR_NO_MEMORY, VM_NO_INSN, "out of memory");
    }
    memcpy(object->copy, bytes, length);
    error = read_all(object, length, diag);
    if (error) {
        ld_object_close(object);
    }
    return error;
}

void ld_object_close(struct ld_object *object)
{
    vm_release(object->sections);
    vm_release(object->symbols);
    vm_release(object->copy);
    *object = (struct ld_object){0};
}

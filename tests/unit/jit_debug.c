/* SPDX-License-Identifier: Apache-2.0 */
/* What perf and gdb are told of compiled code: the map's lines, and the object file that gdb's
 * interface leads to, read back with libelf. */
#include <criterion/criterion.h>
#include <elf.h>
#include <inttypes.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "jit-x86_64/jit.h"
#include "tests/support/asm.h"
#include "tests/support/machine.h"

/* gdb's structures, as it documents them. */
struct entry {
    struct entry *next, *previous;
    const char *object;
    uint64_t bytes;
};
extern struct {
    uint32_t version, action;
    struct entry *relevant, *first;
} __jit_debug_descriptor;

static struct vm_program *program;
static struct vm_image *image;
static char map_path[64];

static void begin(void)
{
    static const char text[] = "mov r1, 5\ncall twice\nexit\n"
                               "twice:\nmov r0, r1\ncall minus_one\nadd r0, r0\nexit\n";
    static const struct vm_function functions[] = {{.name = "main"},
                                                   {.name = "twi ce\n", .start = 3}};
    static const struct vm_line lines[] = {
        {0, 3, "dir/a.c"}, {1, 4, "dir/a.c"}, {3, 40, "b.h"}, {5, 39, "b.h"}};
    struct vm_diag diag = {.text = ""};
    struct t_asm a;

    cr_assert(t_assemble(&a, text, t_helpers, t_helper_count), "%s", a.error);
    struct vm_program_desc desc = {.name = "a program",
                                   .insns = a.insns,
                                   .insn_count = a.count,
                                   .functions = functions,
                                   .function_count = 2,
                                   .helpers = t_helpers,
                                   .helper_count = t_helper_count,
                                   .lines = lines,
                                   .line_count = 4};
    program = vm_program_create(&desc, &diag);
    cr_assert_not_null(program, "%s", diag.text);
    t_asm_free(&a);
    image = vm_image_create(&jit_x86_64, program, &diag);
    cr_assert_not_null(image, "%s", diag.text);
    snprintf(map_path, sizeof map_path, "/tmp/perf-%ld.map", (long)getpid());
}

static void end(void)
{
    vm_image_free(image);
    vm_program_free(program);
    unlink(map_path);
}

TestSuite(jit_debug, .init = begin, .fini = end);

/* ---- perf ---- */

static unsigned map_lines(char lines[][128], unsigned max)
{
    FILE *f = fopen(map_path, "r");
    unsigned count = 0;

    cr_assert_not_null(f);
    while (count < max && fgets(lines[count], 128, f))
        count++;
    fclose(f);
    return count;
}

Test(jit_debug, map_names_the_code)
{
    char lines[16][128], wanted[128];
    const uint32_t *offsets;
    size_t bytes;
    struct vm_diag diag;
    uintptr_t text = (uintptr_t)jit_code(image, &bytes, &offsets);
    FILE *stale = fopen(map_path, "w");

    cr_assert_not_null(stale);
    fputs("1 1 stale\n", stale);
    fclose(stale);
    cr_assert(jit_perf_map(image, &diag), "%s", diag.text);
    cr_assert_geq(map_lines(lines, 16), 2);
    snprintf(wanted, sizeof wanted, "%" PRIxPTR " %x a_program:main\n", text, offsets[3]);
    cr_assert_str_eq(lines[0], wanted);
    snprintf(wanted, sizeof wanted, "%" PRIxPTR " %x a_program:twi_ce_\n", text + offsets[3],
             offsets[7] - offsets[3]);
    cr_assert_str_eq(lines[1], wanted);
}

Test(jit_debug, map_grows)
{
    char lines[16][128];
    struct vm_diag diag;

    cr_assert(jit_perf_map(image, &diag));
    unsigned once = map_lines(lines, 16);
    cr_assert(jit_perf_map(image, &diag));
    cr_assert_eq(map_lines(lines, 16), 2 * once);
}

/* Whoever may write to /tmp could have put something there. */
Test(jit_debug, map_is_not_written_through_a_link)
{
    char victim[] = "/tmp/jit-debug-XXXXXX";
    struct stat info;
    struct vm_diag diag;
    int fd = mkstemp(victim);

    cr_assert_geq(fd, 0);
    cr_assert_eq(symlink(victim, map_path), 0);
    cr_assert_not(jit_perf_map(image, &diag));
    cr_assert_not_null(strstr(diag.text, map_path));
    cr_assert_eq(unlink(map_path), 0);
    cr_assert_eq(link(victim, map_path), 0);
    cr_assert_not(jit_perf_map(image, &diag));
    cr_assert_eq(fstat(fd, &info), 0);
    cr_assert_eq(info.st_size, 0);
    unlink(victim);
    close(fd);
}

/* ---- gdb ---- */

static Elf_Scn *find_section(Elf *elf, const char *name, Elf64_Shdr **header)
{
    size_t names = 0;

    cr_assert_eq(elf_getshdrstrndx(elf, &names), 0);
    for (Elf_Scn *s = elf_nextscn(elf, NULL); s; s = elf_nextscn(elf, s)) {
        *header = elf64_getshdr(s);
        if (strcmp(elf_strptr(elf, names, (*header)->sh_name), name) == 0)
            return s;
    }
    return NULL;
}

Test(jit_debug, gdb_list)
{
    struct vm_diag diag;
    struct vm_image *second = vm_image_create(&jit_x86_64, program, &diag);

    cr_assert_eq(__jit_debug_descriptor.version, 1);
    cr_assert_null(__jit_debug_descriptor.first);
    cr_assert(jit_gdb_register(image, &diag));
    const struct entry *first = __jit_debug_descriptor.first;
    cr_assert_null(first->next);
    cr_assert(jit_gdb_register(second, &diag));
    cr_assert_eq(__jit_debug_descriptor.first->next, first);
    cr_assert_eq(first->previous, __jit_debug_descriptor.first);
    vm_image_free(second);
    cr_assert_eq(__jit_debug_descriptor.first, first);
    cr_assert_null(first->previous);
    vm_image_free(image);
    cr_assert_null(__jit_debug_descriptor.first);
    image = NULL;
}

Test(jit_debug, gdb_object)
{
    struct vm_diag diag;
    const uint32_t *offsets;
    size_t bytes;
    Elf64_Shdr *header;

    const uint8_t *text = jit_code(image, &bytes, &offsets);
    cr_assert(jit_gdb_register(image, &diag));
    struct entry *entry = __jit_debug_descriptor.first;
    cr_assert_neq(elf_version(EV_CURRENT), EV_NONE);
    Elf *elf = elf_memory((char *)(uintptr_t)entry->object, entry->bytes);
    cr_assert_not_null(elf);
    cr_assert_not_null(find_section(elf, ".text", &header));
    cr_assert_eq(header->sh_addr, (uintptr_t)text);
    cr_assert_eq(header->sh_size, bytes);
    cr_assert_not_null(find_section(elf, ".debug_frame", &header));
    cr_assert_not_null(find_section(elf, ".debug_info", &header));
    cr_assert_not_null(find_section(elf, ".debug_abbrev", &header));
    cr_assert_not_null(find_section(elf, ".debug_line", &header));
    Elf_Scn *table = find_section(elf, ".symtab", &header);
    cr_assert_not_null(table);
    const Elf64_Sym *symbols = elf_getdata(table, NULL)->d_buf;
    bool found = false;
    for (size_t i = 0; i < header->sh_size / sizeof *symbols; i++)
        if (strcmp(elf_strptr(elf, header->sh_link, symbols[i].st_name), "main") == 0)
            found = symbols[i].st_value == 0 && symbols[i].st_size == offsets[3];
    cr_assert(found);
    elf_end(elf);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Objects for tests of the loader. */
#include "tests/support/object.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OBJECT_BYTES_MAX = 1 << 20 };

struct object object_compile(const char *name, const char *flags)
{
    char folder[] = "/tmp/object-test-XXXXXX";
    char command[512];
    char path[128];
    struct object o = {malloc(OBJECT_BYTES_MAX), 0};

    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/object.o", folder);
    snprintf(command, sizeof command, "clang -target bpf -O2 %s -c tests/data/objects/%s.c -o %s",
             flags, name, path);
    int status = system(command);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s", command);
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file);
    o.length = fread(o.bytes, 1, OBJECT_BYTES_MAX, file);
    fclose(file);
    unlink(path);
    rmdir(folder);
    cr_assert(o.length > 0 && o.length < OBJECT_BYTES_MAX);
    return o;
}

Elf64_Shdr *object_section(const struct object *o, const char *name)
{
    const Elf64_Ehdr *h = (const Elf64_Ehdr *)o->bytes;
    Elf64_Shdr *headers = (Elf64_Shdr *)(o->bytes + h->e_shoff);
    const char *names = (const char *)o->bytes + headers[h->e_shstrndx].sh_offset;
    for (unsigned i = 0; i < h->e_shnum; i++) {
        if (strcmp(names + headers[i].sh_name, name) == 0) {
            return &headers[i];
        }
    }
    cr_assert_fail("no section %s", name);
    return NULL;
}

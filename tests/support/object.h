/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the loader: objects of tests/data/objects, and places in them to damage. What fails
 * here fails the test. */
#ifndef TESTS_SUPPORT_OBJECT_H
#define TESTS_SUPPORT_OBJECT_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

struct object {
    uint8_t *bytes; /* free() */
    size_t length;
};

/* Compiles tests/data/objects/<name>.c with clang -O2 and these flags. */
struct object object_compile(const char *name, const char *flags);
/* The header of a section, in the object. */
Elf64_Shdr *object_section(const struct object *o, const char *name);

#endif

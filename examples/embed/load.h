/* SPDX-License-Identifier: Apache-2.0 */
/* What the examples of this folder share: an object file becomes a program and an image of it. Both
 * are immutable; any thread may run them until unload. A file that is refused ends the example with
 * the loader's own line.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdio.h>
#include <stdlib.h>

#include "loader/loader.h"
#include "vm/vm.h"

#define FILE_BYTES_MAX (1u << 20)

struct loaded {
    struct vm_program *program;
    struct vm_image *image;
};

__attribute__((noreturn)) static inline void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static inline struct loaded load(const char *path, const struct vm_engine *engine,
                                 const struct ld_helpers *helpers)
{
    static uint8_t bytes[FILE_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    struct loaded it;
    struct vm_diag diag;
    size_t length;

    if (file == NULL) {
        die(path, "cannot open");
    }
    length = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    it.program = ld_load(path, bytes, length, helpers, &diag);
    if (it.program == NULL) {
        die(path, diag.text);
    }
    it.image = vm_image_create(engine, it.program, &diag);
    if (it.image == NULL) {
        die(path, diag.text);
    }
    return it;
}

/* After every thread that ran the image called vm_thread_forget or vm_thread_free. */
static inline void unload(struct loaded it)
{
    vm_image_free(it.image);
    vm_program_free(it.program);
}

#endif

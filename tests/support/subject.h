/* SPDX-License-Identifier: Apache-2.0 */
/* A program in text, ready to run on an engine with the helpers of the tests. */
#ifndef TESTS_SUPPORT_SUBJECT_H
#define TESTS_SUPPORT_SUBJECT_H

#include <criterion/criterion.h>

#include "tests/support/asm.h"
#include "tests/support/machine.h"

struct subject {
    struct vm_program *program;
    struct vm_image *image;
};

/* Ends the test when the text is no program of these helpers, or the engine refuses it. */
static inline struct subject subject_with(const struct vm_engine *engine, const char *text,
                                          const struct vm_helper *const *helpers, uint32_t count)
{
    struct t_asm code;
    struct vm_diag diag;
    struct subject s;
    bool ok = t_assemble(&code, text, helpers, count);
    cr_assert(ok, "%s", code.error);
    s.program = vm_program_create(&(struct vm_program_desc){.name = "test",
                                                            .insns = code.insns,
                                                            .insn_count = code.count,
                                                            .helpers = helpers,
                                                            .helper_count = count},
                                  &diag);
    cr_assert(s.program, "%s", diag.text);
    s.image = vm_image_create(engine, s.program, &diag);
    cr_assert(s.image, "%s", diag.text);
    t_asm_free(&code);
    return s;
}

/* With the helpers of the tests. */
static inline struct subject subject_make(const struct vm_engine *engine, const char *text)
{
    return subject_with(engine, text, t_helpers, t_helper_count);
}

static inline void subject_drop(struct subject s)
{
    vm_thread_forget(t_thread(), s.image);
    vm_image_free(s.image);
    vm_program_free(s.program);
}

/* The test `name` of that suite, a function of the engine, with each of the two. */
#define BOTH_ENGINES(suite, name)                                                                  \
    Test(suite, name##_interp, .timeout = 60)                                                      \
    {                                                                                              \
        name(&vm_interp);                                                                          \
        t_thread_end();                                                                            \
    }                                                                                              \
    Test(suite, name##_jit, .timeout = 60)                                                         \
    {                                                                                              \
        name(&jit_x86_64);                                                                         \
        t_thread_end();                                                                            \
    }

#endif

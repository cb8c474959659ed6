/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/verify.h"

#include "jit-x86_64/compile.h"
#include "jit-x86_64/verify.h"

static struct vm_code *prepare_without_bmi2(const struct vm_program *program, struct vm_diag *diag)
{
    return jit_compile(program, &(struct jit_options){.no_bmi2 = true}, diag);
}

static struct vm_code *prepare_plain(const struct vm_program *program, struct vm_diag *diag)
{
    return jit_compile(program, &(struct jit_options){.without = JIT_OPTIMISATIONS}, diag);
}

static bool verify_on(const struct vm_engine *engine, const struct vm_program *program,
                      struct vm_diag *diag)
{
    struct vm_image *image = vm_image_create(engine, program, diag);
    bool ok = image != NULL && jit_verify_image(image, diag);
    vm_image_free(image);
    return ok;
}

bool t_verify(const struct vm_program *program, struct vm_diag *diag)
{
    struct vm_engine without_bmi2 = jit_x86_64, plain = jit_x86_64;
    without_bmi2.prepare = prepare_without_bmi2;
    plain.prepare = prepare_plain;
    return verify_on(&jit_x86_64, program, diag) && verify_on(&without_bmi2, program, diag) &&
           verify_on(&plain, program, diag);
}

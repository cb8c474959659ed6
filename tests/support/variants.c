/* SPDX-License-Identifier: Apache-2.0 */
/* An engine's prepare takes no options, so those of the variant in hand lie in a variable. */
#include "tests/support/variants.h"

#include <stdio.h>

#include "jit-x86_64/compile.h"

static struct jit_options options;

static struct vm_code *prepare(const struct vm_program *program, struct vm_diag *diag)
{
    return jit_compile(program, &options, diag);
}

/* The `n`th bit that is set in JIT_OPTIMISATIONS, or 0. */
static unsigned optimisation(unsigned n)
{
    unsigned left = JIT_OPTIMISATIONS;
    while (n-- > 0)
        left &= left - 1;
    return left & -left;
}

static struct jit_options options_of(unsigned variant)
{
    if (variant == T_VARIANT_PLAIN)
        return (struct jit_options){.without = JIT_OPTIMISATIONS};
    if (variant == T_VARIANT_NO_BMI2)
        return (struct jit_options){.no_bmi2 = true};
    if (variant >= T_VARIANT_FIRST_OFF)
        return (struct jit_options){.without = optimisation(variant - T_VARIANT_FIRST_OFF)};
    return (struct jit_options){0};
}

unsigned t_variant_count(void)
{
    return T_VARIANT_FIRST_OFF + (unsigned)__builtin_popcount(JIT_OPTIMISATIONS);
}

const char *t_variant_name(unsigned variant)
{
    static char name[40];
    struct jit_options o = options_of(variant);
    if (variant == T_VARIANT_INTERP)
        return vm_engine_name(&vm_interp);
    snprintf(name, sizeof name,
             o.no_bmi2   ? "jit without BMI2"
             : o.without ? "jit without 0x%x"
                         : "jit",
             o.without);
    return name;
}

struct vm_image *t_variant_image(unsigned variant, const struct vm_program *program,
                                 struct vm_diag *diag)
{
    static struct vm_engine compiler;
    if (variant == T_VARIANT_INTERP)
        return vm_image_create(&vm_interp, program, diag);
    options = options_of(variant);
    compiler = jit_x86_64;
    compiler.prepare = prepare;
    return vm_image_create(&compiler, program, diag);
}

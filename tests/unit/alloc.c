/* SPDX-License-Identifier: Apache-2.0 */
/* The allocator of the host: all that the library makes comes from it and goes back, and whichever
 * allocation fails, alone or with all that follow, every call that makes something returns a value
 * that says so, and nothing is left behind. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "jit-x86_64/jit.h"
#include "loader/loader.h"
#include "tests/support/asm.h"
#include "tests/support/guest.h"
#include "tests/support/machine.h"

enum { BLOCK_HEADER = 16, MAGIC = 0x5a565341 };

/* Fails allocation number fail_at, and all after it with `lasting`. */
static struct {
    unsigned count;
    unsigned live;
    unsigned fail_at; /* 0: none */
    bool lasting;
} state;

static bool refuses(void)
{
    state.count++;
    return state.fail_at != 0 &&
           (state.lasting ? state.count >= state.fail_at : state.count == state.fail_at);
}

/* A header, so that blocks of another allocator are noticed. */
static void *count_allocate(void *context, size_t bytes)
{
    cr_assert_eq(context, &state);
    uint32_t *block = refuses() ? NULL : malloc(bytes + BLOCK_HEADER);
    if (!block)
        return NULL;
    state.live++;
    block[0] = MAGIC;
    memset(block + 4, 0xc3, bytes); /* nobody may take it for zeroed */
    return block + 4;
}

static void *count_resize(void *context, void *old, size_t bytes)
{
    cr_assert_eq(context, &state);
    uint32_t *block = (uint32_t *)old - 4;
    cr_assert_eq(block[0], MAGIC);
    block = refuses() ? NULL : realloc(block, bytes + BLOCK_HEADER);
    return block ? block + 4 : NULL;
}

static void count_release(void *context, void *old)
{
    cr_assert_eq(context, &state);
    uint32_t *block = (uint32_t *)old - 4;
    cr_assert_eq(block[0], MAGIC);
    block[0] = 0;
    state.live--;
    free(block);
}

static const struct vm_allocator allocator = {count_allocate, count_resize, count_release, &state};

/* ---- what is made */

static const char source[] =
    "extern unsigned long sum5(unsigned long, unsigned long, unsigned long, unsigned long,\n"
    "                          unsigned long);\n"
    "int table[4] = {1, 2, 3, 4};\n"
    "static __attribute__((noinline)) int twice(int n) { return 2 * n; }\n"
    "__attribute__((section(\"request\"))) int entry(unsigned long n)\n"
    "{ int (*volatile f)(int) = twice; return f(table[n & 3]) + sum5(n, 0, 0, 0, 0); }\n";
enum { ARGUMENT = 2, RESULT = 8 };

static const struct vm_helper *rows;
static struct ld_helpers helpers;
static uint8_t *object;
static size_t object_bytes;

static void set_up(void)
{
    static struct vm_helper copy[16];
    for (uint32_t i = 0; i < t_helper_count; i++)
        copy[i] = *t_helpers[i];
    rows = copy;
    helpers = (struct ld_helpers){rows, t_helper_count};
    object = guest_compile(source, &object_bytes);
    cr_assert(vm_set_allocator(&allocator));
}

static void tear_down(void)
{
    cr_expect_eq(state.live, 0);
    cr_expect(vm_set_allocator(NULL));
    free(object);
}

/* Each returns whether it was made; a refusal has one line. */
static bool run_one(struct vm_thread *thread, const struct vm_image *image)
{
    struct vm_call call = {.args = {ARGUMENT}};
    if (vm_run_batch(thread, image, NULL, &call, 1, NULL) == 0)
        return false;
    cr_expect_eq(call.state, VM_STATE_DONE);
    cr_expect_eq(call.result, RESULT);
    return true;
}

static bool run_image(const struct vm_engine *engine, const struct vm_program *program)
{
    struct vm_diag diag = {0};
    struct vm_image *image = vm_image_create(engine, program, &diag);
    bool good = image != NULL;
    if (!image) {
        cr_expect_eq(diag.error, VM_ERROR_NO_MEMORY, "%s", diag.text);
        return false;
    }
    if (engine == &jit_x86_64 && !jit_gdb_register(image, &diag)) {
        cr_expect_eq(diag.error, VM_ERROR_NO_MEMORY, "%s", diag.text);
        good = false;
    }
    memset(&diag, 0, sizeof diag);
    struct vm_thread *thread = vm_thread_create(&(struct vm_thread_config){0}, &diag);
    if (!thread)
        cr_expect_eq(diag.error, VM_ERROR_NO_MEMORY, "%s", diag.text);
    good = thread && run_one(thread, image) && good;
    vm_thread_free(thread);
    vm_image_free(image);
    return good;
}

static bool run_all(void)
{
    struct vm_diag diag = {0};
    struct vm_program *program = ld_load("object", object, object_bytes, &helpers, &diag);
    if (!program) {
        cr_expect_eq(diag.error, VM_ERROR_NO_MEMORY, "%s", diag.text);
        cr_expect(diag.text[0]);
        return false;
    }
    bool interpreted = run_image(&vm_interp, program);
    bool compiled = run_image(&jit_x86_64, program);
    vm_program_free(program);
    return interpreted && compiled;
}

Test(alloc, everything_comes_from_the_host, .init = set_up, .fini = tear_down)
{
    cr_expect(run_all());
    cr_expect_gt(state.count, 30, "%u", state.count);
}

Test(alloc, every_failure_is_an_error_value, .init = set_up, .fini = tear_down, .timeout = 60)
{
    for (int lasting = 0; lasting < 2; lasting++) {
        unsigned refused = 0;
        state.lasting = lasting != 0;
        state.count = 0;
        state.fail_at = 0;
        cr_assert(run_all());
        unsigned total = state.count;
        for (state.fail_at = 1; state.fail_at <= total; state.fail_at++) {
            state.count = 0;
            refused += !run_all();
            cr_expect_eq(state.live, 0, "allocation %u of %u", state.fail_at, total);
        }
        /* Source lines may be missing; nothing else may. */
        cr_expect_geq(refused + 8, total, "%u of %u", refused, total);
    }
}

Test(alloc, changes_only_while_nothing_is_alive, .init = set_up, .fini = tear_down)
{
    struct vm_diag diag;
    struct vm_program *program = ld_load("object", object, object_bytes, &helpers, &diag);
    cr_assert(program);
    cr_expect_not(vm_set_allocator(NULL));
    cr_expect_not(vm_set_allocator(&allocator));
    vm_program_free(program);
    cr_expect(vm_set_allocator(NULL));
    cr_expect(run_all());
    cr_expect_eq(state.live, 0);
    cr_expect(vm_set_allocator(&allocator));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Programs on libzsvm: loading, one run, counting instructions. Uses the public interface only. */
#include <stdarg.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "loader/loader.h"

void bench_die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static uint64_t rotate(uint64_t sum)
{
    return sum << 9 | sum >> 55;
}

static uint64_t scalar_helper(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                              struct vm_context *context)
{
    (void)c;
    (void)d;
    (void)e;
    (void)context;
    return rotate(a + b);
}

static uint64_t helper(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    return rotate(arg[0].value + arg[1].value);
}

static const struct vm_helper helpers[] = {
    {.name = "bench_helper",
     .fn = helper,
     .kind = {VM_ARG_SCALAR, VM_ARG_SCALAR},
     .scalar = scalar_helper},
};

struct vm_program *bench_load(const char *path)
{
    struct ld_helpers known = {helpers, 1};
    struct vm_diag diag = {.text = ""};
    struct vm_program *program;
    FILE *file = fopen(path, "rb");
    static uint8_t bytes[1 << 20];
    size_t length;

    if (file == NULL) {
        bench_die("cannot read %s", path);
    }
    length = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    program = ld_load(path, bytes, length, &known, &diag);
    if (program == NULL) {
        bench_die("%s: %s", path, diag.text);
    }
    return program;
}

struct vm_image *bench_image(const struct vm_engine *engine, const struct vm_program *program)
{
    struct vm_diag diag = {.text = ""};
    struct vm_image *image = vm_image_create(engine, program, &diag);

    if (image == NULL) {
        bench_die("%s: %s", vm_program_name(program), diag.text);
    }
    return image;
}

static struct vm_run *start(struct vm_thread *thread, const struct vm_image *image, uint64_t n)
{
    struct vm_run *run = vm_run_start(thread, image, NULL, NULL);

    if (run == NULL) {
        bench_die("out of memory");
    }
    vm_run_set_args(run, (const uint64_t[5]){n});
    return run;
}

/* The run was resumed once, and that ended in `state`. */
static uint64_t finish(struct vm_run *run, const struct vm_image *image, enum vm_state state)
{
    uint64_t result;

    while (state == VM_STATE_PREEMPTED) {
        state = vm_run_resume(run);
    }
    if (state != VM_STATE_DONE) {
        char text[200];

        vm_fault_format(vm_run_fault(run), text, sizeof text);
        bench_die("%s: %s", vm_program_name(vm_image_program(image)), text);
    }
    result = vm_run_result(run);
    vm_run_free(run);
    return result;
}

uint64_t bench_run(struct vm_thread *thread, const struct vm_image *image, uint64_t n, double *ns)
{
    struct vm_run *run = start(thread, image, n);
    double before = bench_now_ns();
    enum vm_state state = vm_run_resume(run);

    *ns = bench_now_ns() - before - bench_clock_cost_ns();
    return finish(run, image, state);
}

static void count(void *counter, uint32_t insn, const uint64_t regs[11])
{
    (void)insn;
    (void)regs;
    ++*(uint64_t *)counter;
}

uint64_t bench_count_insns(struct vm_thread *thread, const struct vm_image *interpreted, uint64_t n)
{
    struct vm_run *run = start(thread, interpreted, n);
    uint64_t counter = 0;

    vm_run_set_trace(run, count, &counter);
    (void)finish(run, interpreted, vm_run_resume(run));
    return counter;
}

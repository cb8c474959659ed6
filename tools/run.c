/* SPDX-License-Identifier: Apache-2.0 */
/* `zs-vm run`: one entry of a program, once or many times, or a script on a request. Standard
 * output gets the result and nothing else. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "jit-x86_64/jit.h"
#include "server/script.h"
#include "tools/counts.h"
#include "tools/tool.h"
#include "tools/trace.h"
#include "vm/limits.h"

/* What every run of one invocation shares. */
struct session {
    const struct tool_options *options;
    const struct vm_image *image;
    const struct vm_entry *entry;
    struct vm_thread *thread;
    struct tool_trace *trace;   /* or NULL */
    struct tool_counts *counts; /* or NULL */
    const uint8_t *memory;      /* or NULL */
    size_t memory_bytes;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Puts a fresh copy of the memory file into the guest: r1 its address, r2 its length. */
static bool give_memory(const struct session *s, struct vm_run *run)
{
    uint8_t *host = NULL;

    if (!s->memory) {
        return true;
    }
    uint32_t bytes = (uint32_t)s->memory_bytes;
    uint32_t address = vm_run_heap_alloc(run, bytes ? bytes : 1, &host);
    if (!address) {
        return false;
    }
    if (bytes) {
        memcpy(host, s->memory, bytes);
    }
    vm_run_set_args(run, (const uint64_t[5]){address, bytes});
    return true;
}

static int report_fault(const struct session *s, const struct vm_fault *fault)
{
    char text[256];

    vm_fault_format(fault, text, sizeof text);
    tool_refuse("%s: %s", s->options->file, text);
    return TOOL_FAULT;
}

/* One invocation: its result and how long it took. */
static int run_once(const struct session *s, uint64_t *r0, uint64_t *ns)
{
    struct vm_run *run = vm_run_start(s->thread, s->image, s->entry, NULL);

    if (!run || !give_memory(s, run)) {
        vm_run_free(run);
        return tool_refuse("%s: not enough memory", s->options->file);
    }
    if (s->trace) {
        vm_run_set_trace(run, tool_trace_step, s->trace);
    } else if (s->counts) {
        vm_run_set_trace(run, tool_counts_step, s->counts);
    }
    uint64_t start = now_ns();
    enum vm_state state = vm_run_resume(run);
    while (state == VM_STATE_PREEMPTED || state == VM_STATE_WAITING) {
        state = vm_run_resume(run);
    }
    *ns = now_ns() - start;
    if (s->trace) {
        tool_trace_end(s->trace);
    }
    int status = state == VM_STATE_DONE ? TOOL_OK : report_fault(s, vm_run_fault(run));
    *r0 = status == TOOL_OK ? vm_run_result(run) : 0;
    vm_run_free(run);
    return status;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static int run_all(const struct session *s)
{
    uint32_t count = s->options->repeat ? s->options->repeat : 1;
    uint64_t *times = calloc(count, sizeof *times);
    uint64_t r0 = 0;
    int status = TOOL_OK;

    if (!times) {
        return tool_refuse("out of memory");
    }
    for (uint32_t i = 0; status == TOOL_OK && i < count; i++) {
        status = run_once(s, &r0, &times[i]);
    }
    if (status == TOOL_OK) {
        printf("0x%" PRIx64 "\n", r0);
        if (s->options->repeat) {
            qsort(times, count, sizeof *times, by_value);
            fprintf(stderr, "%" PRIu64 " ns/run\n", times[count / 2]);
        }
    }
    free(times);
    return status;
}

/* Sources of a .c are named from its folder. */
static int write_coverage(const struct session *s)
{
    const char *file = s->options->file;
    const char *slash = strrchr(file, '/');
    size_t length = strlen(file);
    bool compiled = length > 2 && strcmp(file + length - 2, ".c") == 0;
    size_t folder = compiled && slash ? (size_t)(slash - file) + 1 : 0;

    if (!tool_counts_coverage(s->counts, s->options->coverage, file, folder)) {
        return tool_refuse("%s: %s", s->options->coverage, strerror(errno));
    }
    return TOOL_OK;
}

/* Runs, and tells what was counted even when the program faulted. */
static int run_counted(struct session *s)
{
    struct tool_counts counts;
    int told = TOOL_OK;

    if (!tool_counts_begin(&counts, vm_image_program(s->image))) {
        return tool_refuse("out of memory");
    }
    s->counts = &counts;
    int status = run_all(s);
    if (status != TOOL_REFUSED && s->options->profile && !tool_counts_profile(&counts)) {
        told = tool_refuse("out of memory");
    }
    if (status != TOOL_REFUSED && told == TOOL_OK && s->options->coverage) {
        told = write_coverage(s);
    }
    tool_counts_free(&counts);
    return told == TOOL_OK ? status : told;
}

static bool make_thread(struct session *s)
{
    struct vm_diag diag;
    uint64_t heap = VM_HEAP_BYTES_DEFAULT + (uint64_t)s->memory_bytes;

    if (heap > VM_HEAP_BYTES_MAX) {
        tool_refuse("%s: larger than the guest's memory", s->options->memory);
        return false;
    }
    s->thread = vm_thread_create(&(struct vm_thread_config){.budget_ms = s->options->budget_ms,
                                                            .run_count_max = 1,
                                                            .heap_bytes_max = (uint32_t)heap},
                                 &diag);
    if (!s->thread) {
        tool_refuse("%s", diag.text);
    }
    return s->thread != NULL;
}

static int run_image(struct session *s)
{
    struct tool_trace trace;

    if (!make_thread(s)) {
        return TOOL_REFUSED;
    }
    if (s->options->trace) {
        tool_trace_begin(&trace, vm_image_program(s->image));
        s->trace = &trace;
    }
    bool counted = s->options->profile || s->options->coverage;
    int status = counted ? run_counted(s) : run_all(s);
    vm_thread_forget(s->thread, s->image);
    vm_thread_free(s->thread);
    return status;
}

static int run_program(struct session *s, const struct vm_program *program)
{
    struct vm_diag diag;

    s->entry = vm_program_entry(program, 0);
    if (s->options->entry) {
        s->entry = vm_program_find_entry(program, s->options->entry);
    }
    if (!s->entry) {
        return tool_refuse("%s: no entry %s; try zs-vm inspect", s->options->file,
                           s->options->entry);
    }
    struct vm_image *image =
        vm_image_create(s->options->interpret ? &vm_interp : &jit_x86_64, program, &diag);
    if (!image) {
        return tool_refuse("%s: %s", s->options->file, diag.text);
    }
    s->image = image;
    int status = run_image(s);
    vm_image_free(image);
    return status;
}

static int run_file(const struct tool_options *options)
{
    struct session s = {.options = options};
    uint8_t *memory = NULL;
    int status = TOOL_REFUSED;

    if (options->memory && !tool_read(options->memory, &memory, &s.memory_bytes)) {
        return TOOL_REFUSED;
    }
    s.memory = memory;
    struct vm_program *program = tool_load(options->file);
    if (program) {
        status = run_program(&s, program);
        vm_program_free(program);
    }
    free(memory);
    return status;
}

/* ---- on a request ---------------------------------------------------------------------------- */

static int run_script(const struct tool_options *options, const char *request, size_t request_bytes,
                      const uint8_t *object, size_t object_bytes)
{
    const struct script_source source = {.name = options->file,
                                         .object = object,
                                         .object_bytes = object_bytes,
                                         .origin = options->file};
    const struct script_options how = {.interpret = options->interpret,
                                       .budget_ms = options->budget_ms};
    char error[512];

    switch (
        script_run_offline(&source, &how, request, request_bytes, stdout, error, sizeof error)) {
    case SCRIPT_OFFLINE_ENDED: return TOOL_OK;
    case SCRIPT_OFFLINE_FAULTED: return TOOL_FAULT;
    case SCRIPT_OFFLINE_REFUSED: break;
    }
    return tool_refuse("%s", error);
}

static int run_request(const struct tool_options *options)
{
    uint8_t *request;
    uint8_t *object;
    size_t request_bytes;
    size_t object_bytes;
    int status = TOOL_REFUSED;

    if (!tool_read(options->request, &request, &request_bytes)) {
        return TOOL_REFUSED;
    }
    if (tool_read_object(options->file, &object, &object_bytes)) {
        status = run_script(options, (const char *)request, request_bytes, object, object_bytes);
        free(object);
    }
    free(request);
    return status;
}

int tool_run(const struct tool_options *options)
{
    return options->request ? run_request(options) : run_file(options);
}

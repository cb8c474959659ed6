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
#include "tools/debug.h"
#include "tools/report.h"
#include "tools/tool.h"
#include "tools/trace.h"
#include "vm/limits.h"

/* What every run of one invocation shares. */
struct session {
    const struct tool_options *options;
    const struct vm_image *image;
    const struct vm_entry *entry;
    struct vm_thread *thread;
    struct tool_trace *trace; /* or NULL */
    bool counting;
    struct tool_counts counts; /* program is NULL before the first run */
    struct tool_debug *debug;  /* or NULL */
    struct tool_sources sources;
    bool gave_up; /* the debugger's user has, or could not begin */
    bool refused;
    const uint8_t *memory; /* or NULL */
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

/* ---- what is done around each run ------------------------------------------------------------ */

/* Before the first instruction. */
static void begin_run(struct session *s, struct vm_run *run)
{
    if (s->trace) {
        if (s->trace->program) {
            tool_trace_end(s->trace); /* of the run that called this one */
        } else {
            tool_trace_begin(s->trace, vm_run_program(run), &s->sources);
        }
        vm_run_set_trace(run, tool_trace_step, s->trace);
    } else if (s->counting) {
        if (!s->counts.program && !tool_counts_begin(&s->counts, vm_run_program(run))) {
            tool_refuse("out of memory");
            s->counting = false;
            s->refused = true;
            return;
        }
        vm_run_set_trace(run, tool_counts_step, &s->counts);
    } else if (s->debug) {
        s->refused = !tool_debug_attach(s->debug, run);
    }
}

/* A slice is over, but not the run. False: give up. */
static bool goes_on(struct session *s)
{
    s->gave_up = s->debug && !tool_debug_pause(s->debug);
    return !s->gave_up;
}

/* The run is over, but there to be looked at. */
static void end_run(struct session *s, struct vm_run *run, bool faulted)
{
    if (s->trace) {
        tool_trace_end(s->trace);
    }
    if (faulted) {
        tool_report_fault(vm_run_program(run), vm_run_fault(run), &s->sources);
    }
    if (s->debug) {
        tool_debug_end(s->debug, run, faulted);
    }
}

/* Sources of a .c are named from its folder. */
static bool write_coverage(const struct session *s)
{
    const char *file = s->options->file;
    const char *slash = strrchr(file, '/');
    size_t length = strlen(file);
    bool compiled = length > 2 && strcmp(file + length - 2, ".c") == 0;
    size_t folder = compiled && slash ? (size_t)(slash - file) + 1 : 0;

    if (!tool_counts_coverage(&s->counts, s->options->coverage, file, folder)) {
        tool_refuse("%s: %s", s->options->coverage, strerror(errno));
        return false;
    }
    return true;
}

/* After the last run, also when it faulted; while the program is there. */
static void tell_counts(struct session *s)
{
    bool fine = s->counts.program != NULL;

    if (fine && s->options->profile && !tool_counts_profile(&s->counts)) {
        tool_refuse("out of memory");
        fine = false;
    }
    if (fine && s->options->coverage) {
        fine = write_coverage(s);
    }
    s->refused = s->refused || !fine;
    tool_counts_free(&s->counts);
}

static void print_fault(const struct session *s, const struct vm_run *run)
{
    char text[512];

    vm_fault_format(vm_run_fault(run), text, sizeof text);
    tool_refuse("%s: %s", s->options->file, text);
}

/* ---- runs -------------------------------------------------------------------------------------
 */

static int run_to_end(struct session *s, struct vm_run *run, uint64_t *r0)
{
    enum vm_state state = vm_run_resume(run);

    while ((state == VM_STATE_PREEMPTED || state == VM_STATE_WAITING) && goes_on(s)) {
        state = vm_run_resume(run);
    }
    if (s->gave_up) {
        return s->refused ? TOOL_REFUSED : TOOL_OK;
    }
    if (state == VM_STATE_FAULT) {
        if (s->trace) {
            tool_trace_end(s->trace);
        }
        print_fault(s, run);
    }
    end_run(s, run, state == VM_STATE_FAULT);
    *r0 = state == VM_STATE_DONE ? vm_run_result(run) : 0;
    return state == VM_STATE_DONE ? TOOL_OK : TOOL_FAULT;
}

/* One invocation: its result and how long it took. */
static int run_once(struct session *s, uint64_t *r0, uint64_t *ns)
{
    struct vm_run *run = vm_run_start(s->thread, s->image, s->entry, NULL);

    if (!run || !give_memory(s, run)) {
        vm_run_free(run);
        return tool_refuse("%s: not enough memory", s->options->file);
    }
    begin_run(s, run);
    uint64_t start = now_ns();
    int status = run_to_end(s, run, r0);
    *ns = now_ns() - start;
    vm_run_free(run);
    return status;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static int run_all(struct session *s)
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
    if (status == TOOL_OK && !s->gave_up) {
        printf("0x%" PRIx64 "\n", r0);
        if (s->options->repeat) {
            qsort(times, count, sizeof *times, by_value);
            fprintf(stderr, "%" PRIu64 " ns/run\n", times[count / 2]);
        }
    }
    free(times);
    return status;
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
    if (!make_thread(s)) {
        return TOOL_REFUSED;
    }
    int status = run_all(s);
    if (s->counting && status != TOOL_REFUSED) {
        tell_counts(s);
    }
    vm_thread_forget(s->thread, s->image);
    vm_thread_free(s->thread);
    return status;
}

/* A debugger of this process is always told what compiled code is, perf when asked to. */
static bool name_code(const struct tool_options *options, struct vm_image *image,
                      struct vm_diag *diag)
{
    return options->interpret ||
           (jit_gdb_register(image, diag) && (!options->perf_map || jit_perf_map(image, diag)));
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
    int status = name_code(s->options, image, &diag) ? run_image(s) : tool_refuse("%s", diag.text);
    vm_image_free(image);
    return status;
}

static int run_file(struct session *s)
{
    const struct tool_options *options = s->options;
    uint8_t *memory = NULL;
    int status = TOOL_REFUSED;

    if (options->memory && !tool_read(options->memory, &memory, &s->memory_bytes)) {
        return TOOL_REFUSED;
    }
    s->memory = memory;
    struct vm_program *program = tool_load(options->file);
    if (program) {
        status = run_program(s, program);
        vm_program_free(program);
    }
    free(memory);
    return status;
}

/* ---- on a request ---------------------------------------------------------------------------- */

static void script_started(void *context, struct vm_run *run)
{
    begin_run(context, run);
}

static bool script_paused(void *context)
{
    return goes_on(context);
}

static void script_ended(void *context, struct vm_run *run, bool faulted)
{
    end_run(context, run, faulted);
}

/* What the server would call the script in `path`: "10-auth" of "site/10-auth.c". False: too long.
 */
static bool script_name(const char *path, char *name, size_t name_bytes)
{
    const char *slash = strrchr(path, '/');
    const char *last = slash ? slash + 1 : path;
    size_t length = strlen(last);

    if (length > 2 &&
        (strcmp(last + length - 2, ".c") == 0 || strcmp(last + length - 2, ".o") == 0)) {
        length -= 2;
    }
    return (size_t)snprintf(name, name_bytes, "%.*s", (int)length, last) < name_bytes;
}

static void script_finished(void *context)
{
    struct session *s = context;

    if (s->counting) {
        tell_counts(s);
    }
}

static int run_script(struct session *s, const char *request, size_t request_bytes,
                      const uint8_t *object, size_t object_bytes)
{
    const struct tool_options *options = s->options;
    char name[256];
    const struct script_source source = {
        .name = name, .object = object, .object_bytes = object_bytes, .origin = options->file};
    const struct script_watch watch = {.context = s,
                                       .started = script_started,
                                       .paused = script_paused,
                                       .ended = script_ended,
                                       .finished = script_finished};
    const struct script_options how = {.interpret = options->interpret,
                                       .perf_map = options->perf_map,
                                       .gdb = true,
                                       .budget_ms = options->budget_ms,
                                       .env = options->script_env,
                                       .env_count = options->script_env_count,
                                       .trusted = options->trusted,
                                       .trusted_count = options->trusted_count,
                                       .watch = &watch,
                                       .client = &options->client,
                                       .site_path = options->site};
    char error[512];

    if (!script_name(options->file, name, sizeof name)) {
        return tool_refuse("%s: %s", options->file, strerror(ENAMETOOLONG));
    }
    switch (
        script_run_offline(&source, &how, request, request_bytes, stdout, error, sizeof error)) {
    case SCRIPT_OFFLINE_ENDED: return s->refused ? TOOL_REFUSED : TOOL_OK;
    case SCRIPT_OFFLINE_FAULTED: return s->refused ? TOOL_REFUSED : TOOL_FAULT;
    case SCRIPT_OFFLINE_REFUSED: break;
    }
    return tool_refuse("%s", error);
}

static int run_request(struct session *s)
{
    const struct tool_options *options = s->options;
    uint8_t *request;
    uint8_t *object;
    size_t request_bytes;
    size_t object_bytes;
    int status = TOOL_REFUSED;

    if (!tool_read(options->request, &request, &request_bytes)) {
        return TOOL_REFUSED;
    }
    if (tool_read_object(options->file, &object, &object_bytes)) {
        status = run_script(s, (const char *)request, request_bytes, object, object_bytes);
        free(object);
    }
    free(request);
    return status;
}

static bool is_for_request(const struct tool_options *options)
{
    return options->client.peer || options->client.tls || options->client.field_count ||
           options->script_env_count || options->trusted_count || options->site;
}

int tool_run(const struct tool_options *options)
{
    struct tool_trace trace = {.program = NULL};
    struct session s = {.options = options,
                        .sources = {.object = options->file},
                        .trace = options->trace ? &trace : NULL,
                        .counting = options->profile || options->coverage};

    if (!options->request && is_for_request(options)) {
        return tool_refuse("--peer, --header, --tls, --script-env, --trusted-proxy and --site need "
                           "--request");
    }
    if (options->break_count) {
        s.debug = tool_debug_create(&s.sources, options->breaks, options->break_count);
        if (!s.debug) {
            return tool_refuse("out of memory");
        }
    }
    int status = options->request ? run_request(&s) : run_file(&s);
    if (s.debug && status != TOOL_REFUSED && !s.gave_up) {
        tool_debug_finish(s.debug);
    }
    tool_debug_free(s.debug);
    tool_sources_free(&s.sources);
    return s.refused ? TOOL_REFUSED : status;
}

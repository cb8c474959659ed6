/* SPDX-License-Identifier: Apache-2.0 */
/* What compilers make: every program of bench/programs and every script of examples/site, at each
 * level of optimisation and for each version of the instruction set that the clang at hand knows,
 * and by other compilers that happen to be installed (skipped where they are not). All engines must
 * return what the same source returns natively. And what compilers seldom make: frames of every
 * size, recursion to the limit.
 *
 * The programs go into one file, each in a namespace of its own, so that a level and a version cost
 * one call of the compiler. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/loader.h"
#include "server/script.h"
#include "tests/support/code.h"
#include "tests/support/variants.h"
#include "vm/limits.h"

enum {
    PROGRAMS_MAX = 100,
    OBJECT_BYTES_MAX = 1 << 20,
    ARGUMENT = 16 /* as the benchmark has it */
};

static const char *const versions[] = {"-mcpu=v1", "-mcpu=v2", "-mcpu=v3", "-mcpu=v4"};
enum { VERSIONS = 4, NEWEST = 3 /* not every clang knows it */ };

/* ---- files and compilers */

static char folder[] = "/tmp/corpus-test-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[2][80];
    static unsigned turn;
    turn ^= 1;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

/* True when the compiler is content. */
static bool run(const char *const *argv, bool quietly)
{
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status;
    posix_spawn_file_actions_init(&actions);
    if (quietly)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", 1, 0);
    cr_assert_eq(
        posix_spawnp(&child, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status == 0;
}

static size_t read_object(uint8_t *bytes)
{
    FILE *file = fopen(in_folder("all.o"), "rb");
    cr_assert(file);
    size_t length = fread(bytes, 1, OBJECT_BYTES_MAX, file);
    fclose(file);
    cr_assert(length > 0 && length < OBJECT_BYTES_MAX);
    return length;
}

static void clean_up(void)
{
    static const char *const names[] = {"all.cc", "all.o", "native.so"};
    for (int i = 0; i < 3; i++)
        unlink(in_folder(names[i]));
    rmdir(folder);
}

/* ---- programs of the benchmark */

struct program {
    char name[40];
    char symbol[60]; /* of the entry, as C++ spells it */
    uint64_t want;
};

static struct program programs[PROGRAMS_MAX];
static unsigned program_count;

static uint64_t helper(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                       struct vm_context *context)
{
    uint64_t sum = a + b;
    (void)c, (void)d, (void)e, (void)context;
    return sum << 9 | sum >> 55;
}

static const struct vm_helper helper_row = {
    .name = "bench_helper",
    .kind = {VM_ARG_SCALAR, VM_ARG_SCALAR, VM_ARG_SCALAR, VM_ARG_SCALAR, VM_ARG_SCALAR},
    .scalar = helper};
static const struct ld_helpers helpers = {&helper_row, 1};

static void write_source(void)
{
    FILE *out = fopen(in_folder("all.cc"), "w");
    DIR *sources = opendir("bench/programs");
    const struct dirent *entry;
    cr_assert(out && sources);
    fputs("extern \"C\" {\n#include \"bench/programs/program.h\"\n"
          "#ifndef __bpf__\n#include \"bench/helper.c\"\n#endif\n}\n",
          out);
    while ((entry = readdir(sources))) {
        size_t length = strlen(entry->d_name);
        struct program *p = &programs[program_count];
        if (length < 3 || length >= sizeof p->name || strcmp(entry->d_name + length - 2, ".c"))
            continue;
        cr_assert_lt(program_count++, PROGRAMS_MAX);
        int bare = (int)length - 2;
        snprintf(p->name, sizeof p->name, "%.*s", bare, entry->d_name);
        snprintf(p->symbol, sizeof p->symbol, "_ZN%d%.*s5entryEy", bare, bare, entry->d_name);
        fprintf(out, "namespace %s {\n#include \"bench/programs/%s\"\n}\n", p->name, entry->d_name);
    }
    closedir(sources);
    cr_assert_eq(fclose(out), 0);
}

static void run_natively(void)
{
    const char *const argv[] = {"clang++",
                                "-w",
                                "-O1",
                                "-shared",
                                "-fPIC",
                                "-I",
                                ".",
                                "-o",
                                in_folder("native.so"),
                                in_folder("all.cc"),
                                NULL};
    cr_assert(run(argv, false));
    void *library = dlopen(in_folder("native.so"), RTLD_NOW | RTLD_LOCAL);
    cr_assert(library, "%s", dlerror());
    for (unsigned i = 0; i < program_count; i++) {
        uint64_t (*entry)(uint64_t) =
            (uint64_t(*)(uint64_t))(uintptr_t)dlsym(library, programs[i].symbol);
        cr_assert(entry, "%s", programs[i].symbol);
        programs[i].want = entry(ARGUMENT);
    }
    dlclose(library);
}

static void run_program(const struct program *p, const struct vm_image *image, const char *what)
{
    const struct vm_entry *entry = vm_program_find_entry(vm_image_program(image), p->symbol);
    static struct t_outcome outcome;
    char text[100];
    cr_assert(entry, "%s", p->name);
    struct t_input input = {.arg = {ARGUMENT}, .budget_ns = UINT64_MAX};
    t_run_started(vm_run_start(t_thread(), image, entry, NULL), &input, &outcome);
    t_outcome_text(&outcome, text, sizeof text);
    cr_expect(outcome.state == VM_STATE_DONE && outcome.r0 == p->want,
              "%s, %s: %s, want r0 0x%" PRIx64, p->name, what, text, p->want);
}

static void run_object(const char *level, const char *version)
{
    static uint8_t bytes[OBJECT_BYTES_MAX];
    struct vm_diag diag;
    struct vm_program *program = ld_load("corpus", bytes, read_object(bytes), &helpers, &diag);
    cr_assert(program, "%s %s: %s", level, version, diag.text);
    unsigned variants = strcmp(level, "-O2") ? T_VARIANT_PLAIN : t_variant_count();
    for (unsigned v = 0; v < variants; v++) {
        char what[100];
        struct vm_image *image = t_variant_image(v, program, &diag);
        cr_assert(image, "%s", diag.text);
        snprintf(what, sizeof what, "%s %s on %s", level, version, t_variant_name(v));
        for (unsigned i = 0; i < program_count; i++)
            run_program(&programs[i], image, what);
        vm_thread_forget(t_thread(), image);
        vm_image_free(image);
    }
    vm_program_free(program);
}

static void compile_and_run(const char *compiler, bool knows_newest, const char *level)
{
    for (int v = 0; v < VERSIONS; v++) {
        const char *const argv[] = {compiler,
                                    "-w",
                                    "-target",
                                    "bpf",
                                    versions[v],
                                    level,
                                    "-fno-builtin",
                                    "-I",
                                    ".",
                                    "-c",
                                    "-o",
                                    in_folder("all.o"),
                                    in_folder("all.cc"),
                                    NULL};
        if (run(argv, v == NEWEST && !knows_newest))
            run_object(level, versions[v]);
        else
            cr_assert(v == NEWEST && !knows_newest, "%s %s %s", compiler, level, versions[v]);
    }
}

static void programs_at(const char *compiler, bool knows_newest, const char *const *levels)
{
    cr_assert(mkdtemp(folder));
    write_source();
    cr_assert_gt(program_count, 20);
    run_natively();
    for (; *levels; levels++)
        compile_and_run(compiler, knows_newest, *levels);
    clean_up();
    t_thread_end();
}

#define AT_LEVEL(level)                                                                            \
    Test(corpus, programs_at_##level, .timeout = 110)                                              \
    {                                                                                              \
        programs_at("clang++", false, (const char *const[]){"-" #level, NULL});                    \
    }
AT_LEVEL(O0)
AT_LEVEL(O1)
AT_LEVEL(O2)
AT_LEVEL(Os)
AT_LEVEL(O3)

/* ---- the same by other compilers, where they are installed */

static bool is_installed(const char *compiler)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        char file[300];
        int length = (int)strcspn(path, ":");
        snprintf(file, sizeof file, "%.*s/%s", length, path, compiler);
        if (!access(file, X_OK))
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

#define BY_CLANG(number, knows_newest)                                                             \
    Test(corpus, programs_by_clang_##number, .timeout = 110)                                       \
    {                                                                                              \
        if (!is_installed("clang++-" #number))                                                     \
            cr_skip_test("clang++-" #number " is not installed");                                  \
        programs_at("clang++-" #number, knows_newest,                                              \
                    (const char *const[]){"-O0", "-O1", "-O2", "-Os", NULL});                      \
    }
BY_CLANG(15, false)
BY_CLANG(16, false)
BY_CLANG(19, true)

/* bpf-gcc knows C alone: one object for each program. False when it wants a library that there is
 * not, for bytes in another order or at -O0. */
static bool run_by_gcc(const struct program *p, const char *level, const char *version)
{
    static uint8_t bytes[OBJECT_BYTES_MAX];
    struct program plain = *p;
    struct vm_diag diag;
    char source[80], what[100];
    snprintf(plain.symbol, sizeof plain.symbol, "entry");
    snprintf(source, sizeof source, "bench/programs/%.39s.c", p->name);
    const char *const argv[] = {"bpf-gcc", "-w", version, level, "-fno-builtin",
                                "-iquote", ".",  "-c",    "-o",  in_folder("all.o"),
                                source,    NULL};
    cr_assert(run(argv, false), "%s %s %s", p->name, level, version);
    struct vm_program *program = ld_load("corpus", bytes, read_object(bytes), &helpers, &diag);
    if (!program && strstr(diag.text, "undefined symbol __"))
        return false;
    cr_assert(program, "%s %s %s: %s", p->name, level, version, diag.text);
    for (unsigned v = 0; v < T_VARIANT_PLAIN; v++) {
        struct vm_image *image = t_variant_image(v, program, &diag);
        cr_assert(image, "%s", diag.text);
        snprintf(what, sizeof what, "bpf-gcc %s %s on %s", level, version, t_variant_name(v));
        run_program(&plain, image, what);
        vm_thread_forget(t_thread(), image);
        vm_image_free(image);
    }
    vm_program_free(program);
    return true;
}

Test(corpus, programs_by_gcc, .timeout = 110)
{
    static const char *const levels[] = {"-O0", "-O1", "-O2", "-Os"};
    if (!is_installed("bpf-gcc"))
        cr_skip_test("bpf-gcc is not installed");
    cr_assert(mkdtemp(folder));
    write_source();
    run_natively();
    for (unsigned l = 0; l < sizeof levels / sizeof *levels; l++) {
        unsigned count = 0;
        for (unsigned i = 0; i < program_count; i++)
            count += run_by_gcc(&programs[i], levels[l], "-mcpu=v3");
        cr_expect_gt(count, program_count * 3 / 4, "%s", levels[l]);
    }
    clean_up();
    t_thread_end();
}

/* ---- scripts */

struct exchanged {
    const char *script;  /* in examples/site/.zeroserve/scripts */
    const char *request; /* path */
    const char *want;    /* the response begins so; or holds it, after a star */
};

static const struct exchanged exchanges[] = {
    {"10-health", "/health", "HTTP/1.1 200 "},
    {"10-health", "/health", "*{\"status\":\"ok\",\"version\":\""},
    {"10-health", "/healthy", "HTTP/1.1 0 "},
    {"20-redirects", "/old-guide", "HTTP/1.1 308 "},
    {"20-redirects", "/old-guide", "*location: /guide/\n"},
    {"20-redirects", "/docs/a%20b?c=d", "HTTP/1.1 0 "},
    {"20-redirects", "/documents", "HTTP/1.1 0 "},
    {"30-security-headers", "/", "HTTP/1.1 0 "},
    {"30-security-headers", "/", "*x-content-type-options: nosniff\n"},
};

static void run_script(const struct exchanged *x, const uint8_t *object, size_t length,
                       const char *level)
{
    for (int interpret = 0; interpret < 2; interpret++) {
        struct script_source source = {
            .object = object, .object_bytes = length, .name = x->script, .origin = "test"};
        struct script_options options = {.interpret = interpret != 0};
        char request[200], error[300] = "", *text = NULL;
        size_t text_bytes;
        FILE *out = open_memstream(&text, &text_bytes);
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: example.test\r\n\r\n",
                 x->request);
        enum script_offline end = script_run_offline(&source, &options, request, strlen(request),
                                                     out, error, sizeof error);
        fclose(out);
        cr_expect_eq(end, SCRIPT_OFFLINE_ENDED, "%s", error);
        cr_expect(x->want[0] == '*' ? strstr(text, x->want + 1) != NULL
                                    : !strncmp(text, x->want, strlen(x->want)),
                  "%s at %s, interpreted %d, %s:\n%s", x->script, level, interpret, x->request,
                  text);
        free(text);
    }
}

static void compile_script(const char *script, const char *level, const char *version)
{
    char source[120];
    snprintf(source, sizeof source, "examples/site/.zeroserve/scripts/%s.c", script);
    const char *const argv[] = {
        "clang", "-target",          "bpf",  version, level, "-fno-builtin", "-I", "sdk", "-c",
        "-o",    in_folder("all.o"), source, NULL};
    cr_assert(run(argv, false), "%s", script);
}

Test(corpus, scripts, .timeout = 110)
{
    static const char *const levels[][2] = {{"-O1", "-mcpu=v3"}, {"-O2", "-mcpu=v1"},
                                            {"-O2", "-mcpu=v2"}, {"-O2", "-mcpu=v3"},
                                            {"-Os", "-mcpu=v3"}, {"-O3", "-mcpu=v3"}};
    static uint8_t bytes[OBJECT_BYTES_MAX];
    cr_assert(mkdtemp(folder));
    for (unsigned l = 0; l < sizeof levels / sizeof *levels; l++) {
        const char *script = "";
        size_t length = 0;
        for (unsigned i = 0; i < sizeof exchanges / sizeof *exchanges; i++) {
            if (strcmp(script, exchanges[i].script)) {
                script = exchanges[i].script;
                compile_script(script, levels[l][0], levels[l][1]);
                length = read_object(bytes);
            }
            run_script(&exchanges[i], bytes, length, levels[l][0]);
        }
    }
    clean_up();
}

/* ---- frames */

/* f(n): keeps n at the bottom of its frame, calls itself until n is 0, and returns the sum of what
 * it then finds there. */
static struct vm_program *make_recursion(int frame_bytes)
{
    struct t_code code = {.count = 0};
    struct vm_diag diag;
    t_emit(&code, VM_IX_MOV64_REG, 0, 1, 0, 0);
    t_emit(&code, VM_IX_STX64, 10, 1, -frame_bytes, 0);
    t_emit(&code, VM_IX_STX64, 10, 1, -8, 0);
    t_emit(&code, VM_IX_JEQ64_IMM, 1, 0, 4, 0);
    t_emit(&code, VM_IX_ADD64_IMM, 1, 0, 0, -1);
    t_emit(&code, VM_IX_CALL_LOCAL, 0, 1, 0, -6);
    t_emit(&code, VM_IX_LDX64, 1, 10, -frame_bytes, 0);
    t_emit(&code, VM_IX_ADD64_REG, 0, 1, 0, 0);
    t_emit(&code, VM_IX_EXIT, 0, 0, 0, 0);
    struct vm_program *program = t_program(code.insns, code.count, &diag);
    cr_assert(program, "frame of %d: %s", frame_bytes, diag.text);
    return program;
}

static void expect_depth(const struct vm_image *image, uint32_t frame_bytes, uint32_t depth)
{
    static struct t_outcome outcome;
    char text[100];
    struct t_input input = {.arg = {depth}};
    bool fits = (depth + 1) * frame_bytes <= VM_STACK_BYTES && depth <= VM_CALL_DEPTH_MAX;
    t_run(image, &input, &outcome);
    t_outcome_text(&outcome, text, sizeof text);
    if (fits)
        cr_expect(outcome.state == VM_STATE_DONE && outcome.r0 == depth * (depth + 1) / 2,
                  "frame of %u, depth %u: %s", frame_bytes, depth, text);
    else
        cr_expect(outcome.state == VM_STATE_FAULT && (outcome.fault.kind == VM_FAULT_STACK ||
                                                      outcome.fault.kind == VM_FAULT_CALL_DEPTH),
                  "frame of %u, depth %u: %s", frame_bytes, depth, text);
}

static void expect_frames(int frame_bytes)
{
    struct vm_program *program = make_recursion(frame_bytes);
    uint32_t whole = ((uint32_t)frame_bytes + VM_FRAME_ALIGN - 1) & ~(VM_FRAME_ALIGN - 1);
    uint32_t most = VM_STACK_BYTES / whole - 1; /* calls that fit on the stack */
    struct vm_diag diag;
    for (int e = 0; e < T_ENGINE_COUNT; e++) {
        struct vm_image *image = vm_image_create(t_engines[e], program, &diag);
        cr_assert(image, "%s", diag.text);
        expect_depth(image, whole, 0);
        expect_depth(image, whole, most < VM_CALL_DEPTH_MAX ? most : VM_CALL_DEPTH_MAX);
        expect_depth(image, whole, most < VM_CALL_DEPTH_MAX ? most + 1 : VM_CALL_DEPTH_MAX + 1);
        vm_thread_forget(t_thread(), image);
        vm_image_free(image);
    }
    vm_program_free(program);
}

Test(corpus, frames_of_every_size_and_recursion_to_the_limit, .timeout = 110)
{
    for (int bytes = 8; bytes <= 1024; bytes += 8)
        expect_frames(bytes);
    for (int bytes = 1024; bytes < (int)VM_FRAME_BYTES_MAX; bytes += 248)
        expect_frames(bytes);
    expect_frames(VM_FRAME_BYTES_MAX);
    t_thread_end();
}

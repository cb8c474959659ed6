/* SPDX-License-Identifier: Apache-2.0 */
/* Every helper with arguments that make sense and such that do not, in any order, on both engines.
 * Whatever a script does, the exchange stays sound: what is sent of it is valid HTTP, a fault
 * leaves an empty 500, and both engines leave the same.
 *
 * Input: a byte of choices, the number of calls in the request entry, that in the called function
 * `f` (which is a response hook, too), six bytes for each call: the helper and a hint for each
 * argument. The rest is a text that calls may be given.
 *
 * The program is made of instructions, since there is no compiler here; the set that runs it is
 * what script_set_load would have made.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "jit-x86_64/jit.h"
#include "server/script_set.h"
#include "server/upstream_url.h"
#include "tests/support/tarball.h"
#include "vm/limits.h"

enum {
    HEAD_BYTES = 3,
    CALLS_MAX = 24,
    CALLED_MAX = 8,
    CALL_BYTES = 6,
    INSNS_MAX = 1200,
    RODATA_BYTES = 8192,
    DATA_BYTES = 1024,
    OUT = 0,   /* where outputs go, in data */
    ACC = 512, /* all results, mixed */
    HEX = 520, /* the same as text */
    HELPERS_MAX = 128,
    RATE_KEYS = 4,
};

/* CHOICE_JSON: handles 1 to 4 are on a document and places in it. CHOICE_HOOK: f is a response
 * hook. */
enum choice {
    CHOICE_BODY = 1,
    CHOICE_TLS = 2,
    CHOICE_QUERY = 4,
    CHOICE_HOOK = 8,
    CHOICE_JSON = 16
};

enum { SNIPPET_K, SNIPPET_F, SNIPPET_A, SNIPPET_B, SNIPPET_DOCUMENT };

/* clang-format off */
static const char *const snippets[] = {
    [SNIPPET_K] = "k", [SNIPPET_F] = "f", [SNIPPET_A] = "a", [SNIPPET_B] = "b",
    [SNIPPET_DOCUMENT] = "{\"a\":[1,{\"b\":null}],\"c\":\"t\"}",
    "x-name", " Host\t", "zs.response.header.x-a", "zs.response.header.content-length", "*", "x-*",
    "*-name", "content-length", "content-type", "GET", "/a/../b%20c?q=1&q=2", "//x", "/../", "q",
    "http://a:80/b", "unix//run/x, https://b", "fuzz", "fuzz.o", "[\"192.0.2.0/24\"]",
    "[1,2,\"x\"]", "\"s\"", "7", "true", "Zm9v", "0fa0", "data.json", "none", "", "\xff", "a\r\nb",
    "ZS_FUZZ", "one line\n",
};
/* clang-format on */
enum { SNIPPETS = sizeof snippets / sizeof snippets[0] };

/* ---- the program ---- */

struct text {
    uint32_t address;
    uint32_t bytes;
};

struct maker {
    struct vm_insn insns[INSNS_MAX];
    uint32_t count;
    uint8_t rodata[RODATA_BYTES];
    uint32_t rodata_bytes;
    struct text texts[SNIPPETS + 2]; /* and the input's own, twice as likely */
    const struct vm_helper *table;
    uint32_t helpers;
    bool timed; /* it calls what gives another result each time */
};

static void put(struct maker *m, uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
    check(m->count < INSNS_MAX);
    m->insns[m->count++] =
        (struct vm_insn){.code = code, .dst = dst, .src = src, .off = off, .imm = imm};
}

static void put_lddw(struct maker *m, uint8_t dst, uint64_t value)
{
    put(m, 0x18, dst, 0, 0, (int32_t)(uint32_t)value);
    put(m, 0, 0, 0, 0, (int32_t)(uint32_t)(value >> 32));
}

static void add_text(struct maker *m, unsigned index, const void *bytes, size_t length)
{
    if (length > RODATA_BYTES - m->rodata_bytes) {
        length = RODATA_BYTES - m->rodata_bytes;
    }
    if (length > 0) {
        memcpy(m->rodata + m->rodata_bytes, bytes, length);
    }
    m->texts[index] = (struct text){VM_IMAGE_BASE + m->rodata_bytes, (uint32_t)length};
    m->rodata_bytes += (uint32_t)length;
}

static uint32_t data_address(const struct maker *m, uint32_t at)
{
    return vm_data_address(m->rodata_bytes) + at;
}

static uint64_t hostile(const struct maker *m, uint8_t hint)
{
    const uint64_t values[] = {
        0,
        8,
        0xffff,
        0x10000,
        VM_IMAGE_BASE,
        0x1f00000,
        0x201fff0,
        0x201ffff,
        0x2020000,
        0x4000000,
        0xc0000000,
        0xffff0000,
        0xffffffff,
        1ull << 32,
        1ull << 63,
        UINT64_MAX,
        UINT64_MAX - 7,
        data_address(m, DATA_BYTES - 1),
        data_address(m, DATA_BYTES),
        VM_IMAGE_BASE - 1,
        1 << 20,
        data_address(m, 0) | 1ull << 32,
        256,
        257,
        65535,
        65536,
        262144,
        262145,
        100,
        999,
        404,
        65,
    };

    return values[hint % (sizeof values / sizeof values[0])];
}

static uint64_t scalar(const struct maker *m, uint8_t hint)
{
    if (hint < 120) {
        return hint % 12; /* handles, selectors, small counts */
    }
    if (hint < 150) {
        return data_address(m, OUT + hint % 64);
    }
    return hint < 180 ? m->texts[hint % (SNIPPETS + 2)].address : hostile(m, hint);
}

/* The argument in register `i` + 1. */
static uint64_t argument(const struct maker *m, const struct vm_helper *h, unsigned i,
                         const uint8_t hints[5])
{
    static const uint8_t lengths[] = {64, 32, 8, 1, 0, 2, 16, 33};
    const struct text *text = &m->texts[hints[i > 0 ? i - 1 : 0] % (SNIPPETS + 2)];
    uint8_t hint = hints[i];
    bool good = hint < 220;

    switch ((enum vm_arg_kind)h->kind[i]) {
    case VM_ARG_READ: return good ? m->texts[hint % (SNIPPETS + 2)].address : hostile(m, hint);
    case VM_ARG_WRITE:
    case VM_ARG_UPDATE: return good ? data_address(m, OUT + hint % 256) : hostile(m, hint);
    case VM_ARG_LENGTH:
        if (!good) {
            return hostile(m, hint);
        }
        return h->kind[i - 1] == VM_ARG_READ ? text->bytes : lengths[hint % sizeof lengths];
    default: return scalar(m, hint);
    }
}

static bool is_timed(const char *name)
{
    return strcmp(name, "zs_now_ms") == 0 || strcmp(name, "zs_getrandom") == 0 ||
           strncmp(name, "zs_rate_limit", 13) == 0;
}

/* Calls the helper; r7 mixes all results. */
static void put_call(struct maker *m, uint32_t helper, const uint8_t hints[5])
{
    const struct vm_helper *h = &m->table[helper];

    for (unsigned i = 0; i < 5 && h->kind[i] != VM_ARG_NONE; i++) {
        put_lddw(m, (uint8_t)(1 + i), argument(m, h, i, hints));
    }
    put(m, 0x85, 0, 0, 0, (int32_t)helper);
    put(m, 0x27, 7, 0, 0, 31);
    put(m, 0x0f, 7, 0, 0, 0);
    m->timed = m->timed || is_timed(h->name);
}

static uint32_t find(const struct maker *m, const char *name)
{
    for (uint32_t i = 0; i < m->helpers; i++) {
        if (strcmp(m->table[i].name, name) == 0) {
            return i;
        }
    }
    abort();
}

/* Calls a helper that takes a handle, the last result, and a text. */
static void put_handle_call(struct maker *m, const char *name, struct text text)
{
    put(m, 0xbf, 1, 0, 0, 0);
    put_lddw(m, 2, text.address);
    put_lddw(m, 3, text.bytes);
    put(m, 0x85, 0, 0, 0, (int32_t)find(m, name));
}

static void put_json(struct maker *m)
{
    put_lddw(m, 1, m->texts[SNIPPET_DOCUMENT].address);
    put_lddw(m, 2, m->texts[SNIPPET_DOCUMENT].bytes);
    put(m, 0x85, 0, 0, 0, (int32_t)find(m, "zs_json_parse"));
    put_handle_call(m, "zs_json_get", m->texts[SNIPPET_A]);
    put_handle_call(m, "zs_json_array_get", (struct text){.address = 1});
    put_handle_call(m, "zs_json_get", m->texts[SNIPPET_B]);
}

static void put_hook(struct maker *m)
{
    put(m, 0x85, 0, 0, 0, (int32_t)find(m, "zs_json_new_object"));
    put(m, 0xbf, 5, 0, 0, 0);
    put_lddw(m, 1, 0);
    put_lddw(m, 2, 0);
    put_lddw(m, 3, m->texts[SNIPPET_F].address);
    put_lddw(m, 4, 1);
    put(m, 0x85, 0, 0, 0, (int32_t)find(m, "zs_res_hook"));
}

/* Metadata `k` becomes what r7 is. */
static void put_result(struct maker *m)
{
    put_lddw(m, 1, data_address(m, ACC));
    put(m, 0x7b, 1, 7, 0, 0);
    put_lddw(m, 2, 8);
    put_lddw(m, 3, data_address(m, HEX));
    put_lddw(m, 4, 16);
    put_lddw(m, 5, 0);
    put(m, 0x85, 0, 0, 0, (int32_t)find(m, "zs_hex_encode"));
    put_lddw(m, 1, m->texts[SNIPPET_K].address);
    put_lddw(m, 2, 1);
    put_lddw(m, 3, data_address(m, HEX));
    put_lddw(m, 4, 16);
    put(m, 0x85, 0, 0, 0, (int32_t)find(m, "zs_meta_set"));
}

/* One zs_call at most in `f`: its depth is bounded, and so is then how often it runs. */
static const uint8_t *put_calls(struct maker *m, const uint8_t *at, unsigned calls, bool called)
{
    uint32_t zs_call = find(m, "zs_call");
    bool again = false;

    put_lddw(m, 7, 1);
    for (unsigned i = 0; i < calls; i++, at += CALL_BYTES) {
        uint32_t helper = at[0] % m->helpers;

        if (called && helper == zs_call && again) {
            continue;
        }
        again = again || helper == zs_call;
        put_call(m, helper, at + 1);
    }
    put_result(m);
    put_lddw(m, 0, called ? 1 : 0);
    put(m, 0x95, 0, 0, 0, 0);
    return at;
}

static struct vm_program *make_program(struct maker *m, const uint8_t *data, size_t size,
                                       unsigned first, unsigned second)
{
    const struct vm_helper *helpers[HELPERS_MAX];
    struct vm_entry entries[2] = {{.section = "zeroserve.request", .name = "entry"},
                                  {.section = "zeroserve.call.f", .name = "f"}};
    struct vm_program_desc desc = {.name = "fuzz", .entries = entries, .entry_count = 2};
    const uint8_t *calls = data + HEAD_BYTES;
    const uint8_t *rest = calls + (size_t)(first + second) * CALL_BYTES;
    struct vm_diag diag;

    m->table = script_helpers(&m->helpers);
    check(m->helpers <= HELPERS_MAX);
    for (uint32_t i = 0; i < m->helpers; i++) {
        helpers[i] = &m->table[i];
    }
    for (unsigned i = 0; i < SNIPPETS; i++) {
        add_text(m, i, snippets[i], strlen(snippets[i]));
    }
    add_text(m, SNIPPETS, rest, (size_t)(data + size - rest));
    m->texts[SNIPPETS + 1] = m->texts[SNIPPETS];
    if (data[0] & CHOICE_JSON) {
        put_json(m);
    }
    if (data[0] & CHOICE_HOOK) {
        put_hook(m);
    }
    calls = put_calls(m, calls, first, false);
    entries[1].insn = m->count;
    (void)put_calls(m, calls, second, true);
    desc.insns = m->insns;
    desc.insn_count = m->count;
    desc.functions =
        (struct vm_function[]){{.name = "entry"}, {.name = "f", .start = entries[1].insn}};
    desc.function_count = 2;
    desc.helpers = helpers;
    desc.helper_count = m->helpers;
    desc.rodata = m->rodata;
    desc.rodata_bytes = m->rodata_bytes;
    desc.data_bytes_total = DATA_BYTES;
    return vm_program_create(&desc, &diag);
}

/* ---- the set and the request ---- */

static struct site *make_site(void)
{
    struct tarball *t = calloc(1, sizeof *t);

    check(t != NULL);
    tarball_file(t, "data.json", "{\"n\":7}");
    tarball_file(t, "none", "{");
    return tarball_site(t);
}

/* A set of the one script; ended by free_set. */
static struct script_set *make_set(const struct script_options *options, struct vm_program *program)
{
    static char name[] = "fuzz";
    char error[256];
    struct vm_diag diag;
    struct script_set *none = script_set_load(NULL, 0, options, error, sizeof error);
    struct script_set *set = calloc(1, sizeof *set + sizeof set->items[0]);

    check(none != NULL && set != NULL);
    *set = *none;
    free(none);
    set->count = 1;
    set->items[0] = (struct script){
        .name = name,
        .program = program,
        .image = vm_image_create(options->interpret ? &vm_interp : &jit_x86_64, program, &diag),
    };
    free(set->requests.items);
    set->requests.items = calloc(2, sizeof set->requests.items[0]); /* and one behind */
    check(set->items[0].image != NULL && set->requests.items != NULL);
    set->requests.items[0] = script_step_of(&set->items[0], vm_program_entry(program, 0));
    set->requests.count = 1;
    return set;
}

static void free_set(struct script_set *set)
{
    vm_image_free(set->items[0].image);
    set->count = 0;
    script_set_free(set);
}

static void make_request(struct exchange *ex, uint8_t choices)
{
    static const struct span body = SPAN("{\"a\":[1,2],\"b\":\"text\"}");
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(4711)};

    exchange_init(ex);
    inet_pton(AF_INET, "192.0.2.7", &peer.sin_addr);
    memcpy(&ex->peer, &peer, sizeof peer);
    ex->method = SPAN("POST");
    ex->scheme = SPAN("http");
    ex->authority = SPAN("h");
    ex->proto_major = 1;
    ex->proto_minor = 1;
    ex->is_tls = (choices & CHOICE_TLS) != 0;
    check(exchange_set_target(ex,
                              (choices & CHOICE_QUERY) ? SPAN("/a/%62?q=1&a=x%20y&k") : SPAN("/")));
    field_add(ex, &ex->request_fields, SPAN("Host"), SPAN("h"));
    field_add(ex, &ex->request_fields, SPAN("X-Name"), SPAN("one"));
    field_add(ex, &ex->request_fields, SPAN("x-name"), SPAN("two"));
    field_add(ex, &ex->request_fields, SPAN("x-forwarded-for"), SPAN("203.0.113.1, x"));
    if (choices & CHOICE_BODY) {
        field_add(ex, &ex->request_fields, SPAN("content-length"), SPAN("22"));
        check(buffer_append(&ex->request_body.bytes, body, body.len));
        ex->request_body.length = ex->request_body.received = body.len;
    }
    ex->request_body.complete = true;
}

/* ---- what must hold ---- */

static void check_fields(const struct field_list *fields)
{
    for (unsigned i = 0; i < fields->count; i++) {
        check(field_name_valid(fields->items[i].name));
        check(field_value_valid(fields->items[i].value));
    }
}

static void check_exchange(const struct exchange *ex, enum script_verdict verdict)
{
    check_fields(&ex->request_fields);
    check_fields(&ex->response_fields);
    check(field_name_valid(ex->method));
    check(ex->path.len > 0 && ex->path.base[0] == '/');
    check(ex->raw_path.len > 0 && ex->raw_path.base[0] == '/');
    check(memchr(ex->raw_path.base, '\n', ex->raw_path.len) == NULL);
    check(ex->pool.used_bytes <= LIM_EXCHANGE_POOL_BYTES);
    check(verdict != SCRIPT_PROXY || (ex->proxy != NULL && ex->proxy->target_count > 0));
    check(verdict != SCRIPT_ABORTED || ex->aborted);
    check(verdict != SCRIPT_PASS || (ex->status == 0 && !ex->faulted));
    check(!ex->faulted ||
          (verdict == SCRIPT_RESPONDED && ex->status == 500 && ex->body.kind == BODY_NONE));
}

/* ---- running ---- */

/* What a run leaves, to be compared. */
struct outcome {
    enum script_verdict verdict;
    unsigned status;
    bool faulted;
    uint64_t digest;
};

static bool same(const struct outcome *a, const struct outcome *b)
{
    return a->verdict == b->verdict && a->status == b->status && a->faulted == b->faulted &&
           a->digest == b->digest;
}

static void digest(struct outcome *o, struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        o->digest = (o->digest ^ (uint8_t)bytes.base[i]) * 0x100000001b3u;
    }
    o->digest = (o->digest ^ bytes.len) * 0x100000001b3u;
}

static void digest_fields(struct outcome *o, const struct field_list *fields)
{
    for (unsigned i = 0; i < fields->count; i++) {
        digest(o, fields->items[i].name);
        digest(o, fields->items[i].value);
    }
}

static enum script_verdict finish(struct exchange *ex, enum script_verdict verdict)
{
    while (verdict == SCRIPT_PENDING) {
        verdict = script_chain_resume(ex);
    }
    return verdict;
}

/* One host runs them all: its options are the same. */
static struct outcome run(struct script_set *set, const struct script_options *options,
                          uint8_t choices)
{
    static struct script_host *host;
    struct outcome o = {.digest = 0xcbf29ce484222325u};
    char error[256];
    struct exchange ex;

    host = host == NULL ? script_host_create(options, error, sizeof error) : host;
    check(host != NULL);
    make_request(&ex, choices);
    o.verdict = finish(&ex, script_chain_start(host, set, &ex));
    o.faulted = ex.faulted;
    check_exchange(&ex, o.verdict);
    if (o.verdict == SCRIPT_PASS) {
        response_error(&ex, 404);
    }
    if (o.verdict == SCRIPT_PASS || o.verdict == SCRIPT_RESPONDED) {
        check(finish(&ex, script_hooks_start(&ex)) == SCRIPT_PASS);
        response_finish(&ex);
        check(ex.status >= 200 && ex.status <= 999);
        check_fields(&ex.response_fields);
    }
    o.status = ex.status;
    digest_fields(&o, &ex.response_fields);
    digest_fields(&o, &ex.request_fields);
    digest_fields(&o, &ex.meta);
    digest(&o, ex.path);
    if (ex.body.kind == BODY_BYTES) {
        digest(&o, ex.body.bytes);
    }
    script_chain_cancel(&ex);
    exchange_free(&ex);
    script_host_forget(host, set);
    return o;
}

/* Scripts log and fault all the time; the sanitizers' reports are still to be seen. */
void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

static void silence(bool begin)
{
    static int seen = -1;
    static int nowhere = -1;

    if (seen < 0) {
        seen = dup(STDERR_FILENO);
        nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        check(seen >= 0 && nowhere >= 0);
    }
    if (__sanitizer_set_report_fd != NULL) {
        __sanitizer_set_report_fd((void *)(uintptr_t)(begin ? seen : STDERR_FILENO));
    }
    dup2(begin ? nowhere : seen, STDERR_FILENO);
}

static void run_both(struct maker *m, struct vm_program *program, uint8_t choices)
{
    static const char *const env[] = {"ZS_FUZZ"};
    static const char *const trusted[] = {"192.0.2.0/24"};
    static struct site *site;
    struct outcome outcomes[2];

    site = site == NULL ? make_site() : site;
    setenv("ZS_FUZZ", "value", 1);
    for (unsigned i = 0; i < 2; i++) {
        struct rate_table *rates = rate_table_create(RATE_KEYS);
        const struct script_options options = {.interpret = i == 1,
                                               .rates = rates,
                                               .budget_ms = 10000,
                                               .env = env,
                                               .env_count = 1,
                                               .site = site,
                                               .trusted = trusted,
                                               .trusted_count = 1,
                                               .run_count_max = LIM_CALL_DEPTH + 1};
        struct script_set *set = make_set(&options, program);

        outcomes[i] = run(set, &options, choices);
        free_set(set);
        rate_table_free(rates);
    }
    check(m->timed || same(&outcomes[0], &outcomes[1]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct maker maker;
    struct vm_program *program;
    unsigned room, first, second;

    if (size < HEAD_BYTES) {
        return 0;
    }
    room =
        (unsigned)((size - HEAD_BYTES) / CALL_BYTES < 64 ? (size - HEAD_BYTES) / CALL_BYTES : 64);
    first = data[1] % (CALLS_MAX + 1);
    first = first < room ? first : room;
    second = data[2] % (CALLED_MAX + 1);
    second = second < room - first ? second : room - first;
    maker = (struct maker){.count = 0};
    program = make_program(&maker, data, size, first, second);
    check(program != NULL);
    silence(true);
    run_both(&maker, program, data[0]);
    silence(false);
    vm_program_free(program);
    return 0;
}

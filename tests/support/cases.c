/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and plays data files. A file with a mistake in it is an error with its line, never a case
 * that is passed over. */
#include "tests/support/cases.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct t_cases *out;
    const char *path;
    int line;
    struct t_case *now; /* the case being read, or NULL between cases */
    char *code;         /* its asm: text */
    size_t code_bytes;
    bool in_code;
};

static bool refuse(struct reader *r, const char *what, const char *text)
{
    snprintf(r->out->error, sizeof r->out->error, "%s:%d: %s: %.100s", r->path, r->line, what,
             text);
    return false;
}

static bool parse_hex(struct reader *r, const char *text, struct t_bytes *out)
{
    if (out->given)
        return refuse(r, "given twice", text);
    out->given = true;
    out->data = malloc(strlen(text) / 2 + 1);
    if (!out->data)
        return refuse(r, "out of memory", "");
    while (*text) {
        unsigned value;
        int used;
        if (isspace((unsigned char)*text)) {
            text++;
            continue;
        }
        if (sscanf(text, "%2x%n", &value, &used) != 1 || used != 2)
            return refuse(r, "not pairs of hex digits", text);
        out->data[out->length++] = (uint8_t)value;
        text += 2;
    }
    return true;
}

static int find_name(const char *const *names, const char *name)
{
    for (int i = 0; names[i]; i++)
        if (!strcmp(names[i], name))
            return i;
    return -1;
}

static bool set_want(struct reader *r, enum t_want want)
{
    if (r->now->want != T_WANT_NOTHING)
        return refuse(r, "a second expectation", r->now->name);
    r->now->want = want;
    return true;
}

/* "0x2a" */
static bool parse_result(struct reader *r, const char *text)
{
    char *end;
    r->now->result = strtoull(text, &end, 0);
    return *end || end == text ? refuse(r, "not a number", text) : set_want(r, T_WANT_RESULT);
}

/* "READ 0x10 @ 3", or "CALL_DEPTH @ 3" where there is no address */
static bool parse_fault(struct reader *r, const char *text)
{
    char name[32];
    struct t_case *c = r->now;
    int used = 0;
    if (sscanf(text, "%31s %" SCNi32 " @ %" SCNu32 "%n", name, (int32_t *)&c->address, &c->insn,
               &used) != 3) {
        c->address = 0;
        if (sscanf(text, "%31s @ %" SCNu32 "%n", name, &c->insn, &used) != 2)
            return refuse(r, "want KIND ADDRESS @ INSTRUCTION", text);
    }
    c->kind = find_name(t_fault_names, name);
    if (c->kind < 0 || text[used])
        return refuse(r, "no such fault", text);
    return set_want(r, T_WANT_FAULT);
}

/* "BAD_JUMP @ 2" */
static bool parse_refused(struct reader *r, const char *text)
{
    char name[32];
    int used = 0;
    if (sscanf(text, "%31s @ %" SCNu32 "%n", name, &r->now->insn, &used) != 2 || text[used])
        return refuse(r, "want ERROR @ INSTRUCTION", text);
    r->now->kind = find_name(t_error_names, name);
    return r->now->kind < 0 ? refuse(r, "no such error", text) : set_want(r, T_WANT_REFUSED);
}

static bool begin_case(struct reader *r, const char *name)
{
    if (r->now)
        return refuse(r, "--- is missing before", name);
    struct t_case *grown = realloc(r->out->list, (r->out->count + 1) * sizeof *grown);
    if (!grown)
        return refuse(r, "out of memory", name);
    r->out->list = grown;
    r->now = &grown[r->out->count++];
    *r->now = (struct t_case){.line = r->line};
    r->code_bytes = 0;
    r->code[0] = '\0';
    if (!*name || strlen(name) >= sizeof r->now->name)
        return refuse(r, "name missing or too long", name);
    memcpy(r->now->name, name, strlen(name) + 1);
    return true;
}

static bool end_case(struct reader *r)
{
    struct t_case *c = r->now;
    if (!c)
        return true;
    r->now = NULL;
    r->in_code = false;
    if (c->want == T_WANT_NOTHING)
        return refuse(r, "no expectation", c->name);
    if (c->memory_after.given && c->memory_after.length != c->memory.length)
        return refuse(r, "mem and mem_after differ in length", c->name);
    if (!t_assemble(&c->code, r->code, t_helpers, t_helper_count))
        return refuse(r, c->name, c->code.error);
    return true;
}

/* Value of the line when it begins with the key, else NULL. */
static const char *value_of(const char *line, const char *key)
{
    size_t length = strlen(key);
    if (strncmp(line, key, length))
        return NULL;
    line += length;
    return line + strspn(line, " ");
}

static bool read_key(struct reader *r, const char *line)
{
    const char *value;
    if ((value = value_of(line, "name:")))
        return begin_case(r, value);
    if (!r->now)
        return refuse(r, "outside of a case", line);
    r->in_code = !strcmp(line, "asm:");
    if (r->in_code)
        return true;
    if ((value = value_of(line, "mem:")))
        return parse_hex(r, value, &r->now->memory);
    if ((value = value_of(line, "mem_after:")))
        return parse_hex(r, value, &r->now->memory_after);
    if ((value = value_of(line, "rodata:")))
        return parse_hex(r, value, &r->now->rodata);
    if ((value = value_of(line, "data:")))
        return parse_hex(r, value, &r->now->data);
    if ((value = value_of(line, "result:")))
        return parse_result(r, value);
    if ((value = value_of(line, "fault:")))
        return parse_fault(r, value);
    if ((value = value_of(line, "refused:")))
        return parse_refused(r, value);
    return refuse(r, "unknown key", line);
}

static bool read_line(struct reader *r, char *line, size_t length)
{
    while (length && isspace((unsigned char)line[length - 1]))
        line[--length] = '\0';
    if (!strcmp(line, "---"))
        return end_case(r);
    if (r->in_code && (line[0] == ' ' || line[0] == '\0')) {
        memcpy(r->code + r->code_bytes, line, length);
        r->code[r->code_bytes + length] = '\n';
        r->code_bytes += length + 1;
        r->code[r->code_bytes] = '\0';
        return true;
    }
    if (line[0] == '\0' || line[0] == '#')
        return true;
    return read_key(r, line);
}

static bool read_all(struct reader *r, FILE *in)
{
    char *line = NULL;
    size_t capacity = 0;
    bool ok = true;
    for (ssize_t n; ok && (n = getline(&line, &capacity, in)) >= 0;) {
        r->line++;
        ok = read_line(r, line, (size_t)n);
    }
    free(line);
    return ok && end_case(r);
}

bool t_cases_load(struct t_cases *cases, const char *path)
{
    struct reader r = {.out = cases, .path = path};
    *cases = (struct t_cases){0};
    FILE *in = fopen(path, "r");
    if (!in)
        return refuse(&r, "cannot open", path);
    fseek(in, 0, SEEK_END);
    r.code = calloc(1, (size_t)ftell(in) + 2); /* a case's code is no longer than its file */
    rewind(in);
    bool ok = r.code && read_all(&r, in);
    fclose(in);
    free(r.code);
    return ok;
}

void t_cases_free(struct t_cases *cases)
{
    for (size_t i = 0; i < cases->count; i++) {
        struct t_case *c = &cases->list[i];
        t_asm_free(&c->code);
        free(c->memory.data);
        free(c->memory_after.data);
        free(c->rodata.data);
        free(c->data.data);
    }
    free(cases->list);
    *cases = (struct t_cases){0};
}

struct vm_program *t_case_program(const struct t_case *c, struct vm_diag *diag)
{
    struct vm_program_desc desc = {.name = c->name,
                                   .insns = c->code.insns,
                                   .insn_count = c->code.count,
                                   .helpers = t_helpers,
                                   .helper_count = t_helper_count,
                                   .rodata = c->rodata.data,
                                   .rodata_bytes = c->rodata.length,
                                   .data = c->data.data,
                                   .data_bytes = c->data.length,
                                   .data_bytes_total = c->data.length};
    return vm_program_create(&desc, diag);
}

static bool check_refusal(const struct t_case *c, const struct vm_diag *diag, char *why,
                          size_t why_bytes)
{
    if (c->want == T_WANT_REFUSED && (int)diag->error == c->kind && diag->insn == c->insn)
        return true;
    snprintf(why, why_bytes, "refused: %s @ %" PRIu32 " (%s)", t_error_names[diag->error],
             diag->insn, diag->text);
    return false;
}

static bool check_outcome(const struct t_case *c, const struct t_outcome *o, char *why,
                          size_t why_bytes)
{
    bool ok;
    if (c->want == T_WANT_FAULT)
        ok = o->state == VM_STATE_FAULT && (int)o->fault.kind == c->kind &&
             o->fault.address == c->address && o->fault.insn == c->insn;
    else
        ok = c->want == T_WANT_RESULT && o->state == VM_STATE_DONE && o->r0 == c->result;
    t_outcome_text(o, why, why_bytes);
    if (ok && c->memory_after.given &&
        memcmp(o->memory, c->memory_after.data, c->memory_after.length)) {
        size_t used = (size_t)snprintf(why, why_bytes, "memory is");
        for (uint32_t i = 0; i < o->memory_bytes && used < why_bytes; i++)
            used += (size_t)snprintf(why + used, why_bytes - used, " %02x", o->memory[i]);
        return false;
    }
    return ok;
}

bool t_case_run(const struct t_case *c, const struct vm_engine *engine, char *why, size_t why_bytes)
{
    struct vm_diag diag;
    struct vm_program *program = t_case_program(c, &diag);
    if (!program)
        return check_refusal(c, &diag, why, why_bytes);
    struct t_outcome outcome;
    struct t_input input = {.memory = c->memory.data, .memory_bytes = c->memory.length};
    bool ok;
    if (!t_run_program(engine, program, &input, &outcome, &diag)) {
        snprintf(why, why_bytes, "the engine refused: %s", diag.text);
        ok = false;
    } else if (c->want == T_WANT_REFUSED) {
        snprintf(why, why_bytes, "accepted");
        ok = false;
    } else {
        ok = check_outcome(c, &outcome, why, why_bytes);
    }
    vm_program_free(program);
    return ok;
}

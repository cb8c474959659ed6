/* SPDX-License-Identifier: Apache-2.0 */
/* Script sets: objects loaded, checked and compiled. The runs are in script_chain.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jit-x86_64/jit.h"
#include "loader/loader.h"
#include "server/script_set.h"

#define BYTES_PER_INSN 8u

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_request_entry(const struct vm_entry *entry)
{
    return strcmp(entry->section, "zeroserve.request") == 0;
}

static bool is_handshake_entry(const struct vm_entry *entry)
{
    return strcmp(entry->section, "zeroserve.tls") == 0;
}

/* Sections of the contract. An object with any of them is a script. */
static bool is_script_entry(const struct vm_entry *entry)
{
    return is_request_entry(entry) || is_handshake_entry(entry) ||
           has_prefix(entry->section, "zeroserve.call.") ||
           has_prefix(entry->section, "zeroserve.init.");
}

static int by_address(const void *a, const void *b)
{
    const struct vm_entry *x = ((const struct script_step *)a)->entry;
    const struct vm_entry *y = ((const struct script_step *)b)->entry;

    return (x->insn > y->insn) - (x->insn < y->insn);
}

static unsigned count_entries(const struct script *script,
                              bool (*is_wanted)(const struct vm_entry *))
{
    unsigned count = 0;

    for (uint32_t i = 0; i < vm_program_entry_count(script->program); i++) {
        count += is_wanted(vm_program_entry(script->program, i));
    }
    return count;
}

static void add_steps(struct script_steps *steps, const struct script *script,
                      bool (*is_wanted)(const struct vm_entry *))
{
    unsigned first = steps->count;

    for (uint32_t i = 0; i < vm_program_entry_count(script->program); i++) {
        const struct vm_entry *entry = vm_program_entry(script->program, i);

        if (is_wanted(entry)) {
            steps->items[steps->count++] = script_step_of(script, entry);
        }
    }
    qsort(&steps->items[first], steps->count - first, sizeof steps->items[0], by_address);
}

/* False: out of memory. */
static bool find_steps(const struct script_set *set, struct script_steps *steps,
                       bool (*is_wanted)(const struct vm_entry *))
{
    unsigned count = 0;

    for (unsigned i = 0; i < set->count; i++) {
        count += count_entries(&set->items[i], is_wanted);
    }
    steps->items = calloc(count + 1, sizeof steps->items[0]);
    if (steps->items == NULL) {
        return false;
    }
    for (unsigned i = 0; i < set->count; i++) {
        add_steps(steps, &set->items[i], is_wanted);
    }
    return true;
}

static size_t code_bytes(const struct script *script, bool interpret)
{
    uint32_t insns;
    const uint32_t *offsets;
    size_t bytes;

    if (interpret) {
        (void)vm_program_insns(script->program, &insns);
        return (size_t)insns * BYTES_PER_INSN;
    }
    (void)jit_code(script->image, &bytes, &offsets);
    return bytes;
}

/* Tells tools outside what the compiled code is. False: *diag. */
static bool name_code(const struct script *script, const struct script_options *options,
                      struct vm_diag *diag)
{
    return options->interpret || ((!options->perf_map || jit_perf_map(script->image, diag)) &&
                                  (!options->gdb || jit_gdb_register(script->image, diag)));
}

/* NULL on success, else the reason, which may be in *diag. */
static const char *load(struct script *script, const struct script_source *source,
                        const struct script_options *options, struct vm_diag *diag)
{
    struct ld_helpers helpers;

    helpers.helpers = script_helpers(&helpers.count);
    script->name = strdup(source->name);
    if (script->name == NULL) {
        return "out of memory";
    }
    script->program = ld_load(script->name, source->object, source->object_bytes, &helpers, diag);
    if (script->program == NULL) {
        return diag->text;
    }
    if (count_entries(script, is_script_entry) == 0) {
        return "no entry: no function is in section zeroserve.request";
    }
    script->image =
        vm_image_create(options->interpret ? &vm_interp : &jit_x86_64, script->program, diag);
    if (script->image == NULL || !name_code(script, options, diag)) {
        return diag->text;
    }
    script->code_bytes = code_bytes(script, options->interpret);
    return NULL;
}

static bool load_rates(struct script_set *set, const struct script_options *options)
{
    if (options->rates == NULL) {
        set->own_rates = rate_table_create(LIM_RATE_KEYS);
    }
    set->shared.rates = options->rates != NULL ? options->rates : set->own_rates;
    return set->shared.rates != NULL;
}

static bool load_trusted(struct helper_shared *shared, const struct script_options *options,
                         char *error, size_t error_bytes)
{
    shared->trusted = calloc(options->trusted_count + 1, sizeof *shared->trusted);
    if (shared->trusted == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    for (unsigned i = 0; i < options->trusted_count; i++) {
        if (!cidr_parse(span_of(options->trusted[i]), &shared->trusted[i])) {
            snprintf(error, error_bytes, "trusted proxy %s: want an address, or one with /BITS",
                     options->trusted[i]);
            return false;
        }
        shared->trusted_count++;
    }
    return true;
}

static bool load_shared(struct script_set *set, const struct script_options *options, char *error,
                        size_t error_bytes)
{
    struct helper_shared *shared = &set->shared;

    shared->site = options->site;
    shared->body_bytes_max =
        options->body_bytes_max > 0 ? options->body_bytes_max : LIM_SCRIPT_BODY_BYTES;
    shared->json_bytes_max = options->json_bytes_max > 0 ? options->json_bytes_max : LIM_JSON_BYTES;
    if (!load_rates(set, options) ||
        !script_env_load(&shared->env, options->env, options->env_count)) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    return load_trusted(shared, options, error, error_bytes);
}

struct script_set *script_set_load(const struct script_source *sources, unsigned count,
                                   const struct script_options *options, char *error,
                                   size_t error_bytes)
{
    struct script_set *set;
    struct vm_diag diag;

    if (count > LIM_SCRIPTS) {
        snprintf(error, error_bytes, "%u scripts; at most %u are allowed", count, LIM_SCRIPTS);
        return NULL;
    }
    set = calloc(1, sizeof *set + count * sizeof set->items[0]);
    if (set == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return NULL;
    }
    if (!load_shared(set, options, error, error_bytes)) {
        script_set_free(set);
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        const char *problem;

        set->count = i + 1;
        problem = load(&set->items[i], &sources[i], options, &diag);
        if (problem != NULL) {
            snprintf(error, error_bytes, "script '%s' (%s): %s", sources[i].name, sources[i].origin,
                     problem);
            script_set_free(set);
            return NULL;
        }
    }
    if (!find_steps(set, &set->requests, is_request_entry) ||
        !find_steps(set, &set->handshakes, is_handshake_entry)) {
        snprintf(error, error_bytes, "out of memory");
        script_set_free(set);
        return NULL;
    }
    return set;
}

void script_set_free(struct script_set *set)
{
    if (set == NULL) {
        return;
    }
    for (unsigned i = 0; i < set->count; i++) {
        struct script *script = &set->items[i];

        if (script->image != NULL) {
            vm_image_free(script->image);
        }
        if (script->program != NULL) {
            vm_program_free(script->program);
        }
        free(script->name);
    }
    free(set->requests.items);
    free(set->handshakes.items);
    script_env_free(&set->shared.env);
    free(set->shared.trusted);
    rate_table_free(set->own_rates);
    free(set);
}

unsigned script_set_count(const struct script_set *set)
{
    return set->count;
}

const char *script_set_name(const struct script_set *set, unsigned index)
{
    return set->items[index].name;
}

size_t script_set_code_bytes(const struct script_set *set, unsigned index)
{
    return set->items[index].code_bytes;
}

bool script_set_sees_handshakes(const struct script_set *set)
{
    return set->handshakes.count > 0;
}

bool script_set_calls(const struct script_set *set, const char *helper)
{
    for (unsigned i = 0; i < set->count; i++) {
        const struct vm_program *program = set->items[i].program;

        for (uint32_t j = 0; j < vm_program_helper_count(program); j++) {
            if (strcmp(vm_program_helper(program, j)->name, helper) == 0) {
                return true;
            }
        }
    }
    return false;
}

bool script_set_trusts(const struct script_set *set, const union peer_address *peer)
{
    struct address address;

    for (unsigned i = 0; address_of(peer, &address) && i < set->shared.trusted_count; i++) {
        if (cidr_contains(&set->shared.trusted[i], &address)) {
            return true;
        }
    }
    return false;
}

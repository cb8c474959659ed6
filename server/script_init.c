/* SPDX-License-Identifier: Apache-2.0 */
/* Runs what a site's scripts want done once, when it is loaded: before any request, on the thread
 * that loads. There is no request then, so helpers that ask about one give what is empty. */
#include <stdio.h>
#include <stdlib.h>

#include "server/log.h"
#include "server/script_run.h"

#define PREFIX "zeroserve.init."

static bool is_init(const struct vm_entry *entry)
{
    return strncmp(entry->section, PREFIX, sizeof PREFIX - 1) == 0;
}

static int by_name(const void *a, const void *b)
{
    const struct vm_entry *const *x = a;
    const struct vm_entry *const *y = b;

    return strcmp((*x)->section, (*y)->section);
}

/* The init entries of a script, by name, and their number; to be freed. NULL: out of memory. */
static const struct vm_entry **entries_of(const struct script *script, unsigned *count)
{
    uint32_t all = vm_program_entry_count(script->program);
    const struct vm_entry **entries = calloc(all + 1, sizeof *entries);

    *count = 0;
    for (uint32_t i = 0; entries != NULL && i < all; i++) {
        if (is_init(vm_program_entry(script->program, i))) {
            entries[(*count)++] = vm_program_entry(script->program, i);
        }
    }
    if (entries != NULL) {
        qsort(entries, *count, sizeof *entries, by_name);
    }
    return entries;
}

/* False: `runs->error` says why. */
static bool run_entry(struct script_runs *runs, const struct script *script,
                      const struct vm_entry *entry)
{
    uint64_t result = 0;
    enum runs_end end;

    runs->charged = false; /* each has a budget of its own */
    if (runs_push_apart(runs, script, entry) == NULL) {
        snprintf(runs->error, runs->error_bytes, "script '%s': out of memory", script->name);
        return false;
    }
    runs->result = &result;
    do {
        end = runs_go(runs);
    } while (end == RUNS_PENDING);
    runs->result = NULL;
    if (end == RUNS_RETURNED && (int64_t)result < 0) {
        log_line("script '%s': %s returned %lld", script->name, entry->section, (long long)result);
    }
    return end == RUNS_RETURNED;
}

static bool run_script(struct script_runs *runs, const struct script *script)
{
    unsigned count;
    const struct vm_entry **entries = entries_of(script, &count);
    bool fine = entries != NULL;

    if (!fine) {
        snprintf(runs->error, runs->error_bytes, "script '%s': out of memory", script->name);
    }
    for (unsigned i = 0; fine && i < count; i++) {
        exchange_reset(runs->ex);
        runs->ex->request_body.complete = true; /* there is none to wait for */
        *runs = (struct script_runs){.host = runs->host,
                                     .set = runs->set,
                                     .ex = runs->ex,
                                     .error = runs->error,
                                     .error_bytes = runs->error_bytes};
        fine = run_entry(runs, script, entries[i]);
    }
    free(entries);
    return fine;
}

static bool has_init(const struct script_set *set)
{
    for (unsigned i = 0; i < set->count; i++) {
        for (uint32_t e = 0; e < vm_program_entry_count(set->items[i].program); e++) {
            if (is_init(vm_program_entry(set->items[i].program, e))) {
                return true;
            }
        }
    }
    return false;
}

bool script_set_init(const struct script_set *set, const struct script_options *options,
                     char *error, size_t error_bytes)
{
    struct script_runs runs = {.set = set, .error = error, .error_bytes = error_bytes};
    struct exchange ex;
    bool fine = true;

    if (!has_init(set)) {
        return true;
    }
    runs.host = script_host_create(options, error, error_bytes);
    if (runs.host == NULL) {
        return false;
    }
    exchange_init(&ex);
    runs.ex = &ex;
    for (unsigned i = 0; fine && i < set->count; i++) {
        fine = run_script(&runs, &set->items[i]);
    }
    exchange_free(&ex);
    script_host_forget(runs.host, set);
    script_host_free(runs.host);
    return fine;
}

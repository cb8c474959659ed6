/* SPDX-License-Identifier: Apache-2.0 */
/* Collects the scripts to run: see sources.h. */
#include "server/sources.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/file.h"
#include "server/pack.h"

enum { ENDING_BYTES = 2 }; /* ".c", ".o" */

static bool ends_with(const char *path, const char *ending)
{
    size_t bytes = strlen(path);
    return bytes > ENDING_BYTES && strcmp(path + bytes - ENDING_BYTES, ending) == 0;
}

bool sources_is_script(const char *path)
{
    return ends_with(path, ".c") || ends_with(path, ".o");
}

bool sources_is_source(const char *path)
{
    return ends_with(path, ".c");
}

/* Refuses a name twice and too many. */
static bool check_name(const struct sources *s, const char *name, const char *origin, char *error,
                       size_t error_bytes)
{
    if (s->count == LIM_SCRIPTS) {
        snprintf(error, error_bytes, "%s: more than %u scripts", origin, LIM_SCRIPTS);
        return false;
    }
    for (unsigned i = 0; i < s->count; i++) {
        if (strcmp(s->items[i].name, name) == 0) {
            snprintf(error, error_bytes, "script '%s' is both in %s and in %s", name,
                     s->items[i].origin, origin);
            return false;
        }
    }
    return true;
}

/* Takes over the three, whatever comes of it. */
static bool add_owned(struct sources *s, char *name, uint8_t *object, size_t bytes, char *origin,
                      char *error, size_t error_bytes)
{
    bool fine = name != NULL && origin != NULL;
    if (!fine) {
        snprintf(error, error_bytes, "out of memory");
    } else {
        fine = check_name(s, name, origin, error, error_bytes);
    }
    if (!fine) {
        free(name);
        free(object);
        free(origin);
        return false;
    }
    s->items[s->count] = (struct script_source){name, object, bytes, origin};
    s->owned[s->count][0] = name;
    s->owned[s->count][1] = object;
    s->owned[s->count][2] = origin;
    s->count++;
    return true;
}

bool sources_add_file(struct sources *sources, const char *path, char *error, size_t error_bytes)
{
    uint8_t *object;
    size_t bytes;
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    if (!sources_is_script(name)) {
        snprintf(error, error_bytes, "%s: want a script, .c or .o", path);
        return false;
    }
    bool read = ends_with(name, ".c")
                    ? pack_compile(path, &object, &bytes, error, error_bytes)
                    : file_read(path, LIM_SCRIPT_OBJECT_BYTES, &object, &bytes, error, error_bytes);
    return read && add_owned(sources, strndup(name, strlen(name) - ENDING_BYTES), object, bytes,
                             strdup(path), error, error_bytes);
}

static int only_scripts(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && sources_is_script(entry->d_name);
}

static int name_order(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

bool sources_add_directory(struct sources *sources, const char *path, char *error,
                           size_t error_bytes)
{
    struct dirent **entries;
    int count = scandir(path, &entries, only_scripts, name_order);
    if (count < 0) {
        snprintf(error, error_bytes, "%s: %s", path, strerror(errno));
        return false;
    }
    bool fine = true;
    for (int i = 0; i < count; i++) {
        char *file = NULL;
        if (fine && asprintf(&file, "%s/%s", path, entries[i]->d_name) < 0) {
            snprintf(error, error_bytes, "out of memory");
            file = NULL;
            fine = false;
        }
        fine = fine && sources_add_file(sources, file, error, error_bytes);
        free(file);
        free(entries[i]);
    }
    free(entries);
    return fine;
}

bool sources_add_site(struct sources *sources, const struct site *site, const char *origin,
                      char *error, size_t error_bytes)
{
    for (unsigned i = 0; i < site_script_count(site); i++) {
        const struct site_script *script = site_script(site, i);
        if (!check_name(sources, script->name, origin, error, error_bytes)) {
            return false;
        }
        sources->items[sources->count++] =
            (struct script_source){script->name, script->object, script->object_bytes, origin};
    }
    return true;
}

void sources_free(struct sources *sources)
{
    for (unsigned i = 0; i < sources->count; i++) {
        for (size_t j = 0; j < sizeof sources->owned[i] / sizeof sources->owned[i][0]; j++) {
            free(sources->owned[i][j]);
        }
    }
    sources->count = 0;
}

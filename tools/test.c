/* SPDX-License-Identifier: Apache-2.0 */
/* `zs-vm test`: asks a site what its tests ask and compares. A line for each case goes to standard
 * output, and below one that failed what was wanted (-) and what came (+). */
#include <dirent.h>
#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/rehearse.h"
#include "tools/test_file.h"
#include "tools/tool.h"

enum { PATH_BYTES = 4096, ERROR_BYTES = 1024, SHOWN_LINES = 12 };

struct tester {
    const struct tool_options *options;
    struct rehearsal *site;
    unsigned passed;
    unsigned failed;
    bool refused; /* a file cannot be read */
};

/* What is compared, and whether a difference was told yet. */
struct comparison {
    const struct test_case *test;
    const char *path;
    bool differs;
};

/* ---- telling ---------------------------------------------------------------------------------
 */

static void tell_case(const char *how, const char *path, const struct test_case *test)
{
    printf("%s %s:%u %s\n", how, path, test->line, test->name);
}

static void differ(struct comparison *c)
{
    if (!c->differs) {
        tell_case("FAIL", c->path, c->test);
    }
    c->differs = true;
}

static void tell_wanted(struct comparison *c, const char *line)
{
    differ(c);
    printf("     - %s\n", line);
}

static void tell_lines(const char *text)
{
    for (unsigned shown = 0; *text && shown < SHOWN_LINES; shown++) {
        size_t length = strcspn(text, "\n");
        printf("     + %.*s\n", (int)(length < 160 ? length : 160), text);
        text += length + (text[length] == '\n');
    }
    if (*text) {
        puts("     + ...");
    }
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* An expression that is malformed matches nothing, and why is told. */
static bool matches(const char *expression, const char *text)
{
    regex_t regex;
    char why[160];
    int error = regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB | REG_NEWLINE);

    if (error) {
        regerror(error, &regex, why, sizeof why);
        tool_refuse("~%s: %s", expression, why);
        return false;
    }
    bool found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

static bool value_fits(const char *wanted, const char *got)
{
    return wanted[0] == '~' ? matches(wanted + 1, got) : strcmp(wanted, got) == 0;
}

/* The next field of `*rest` that has this name: its value, NUL-terminated, in `room`. */
static bool next_value(const char **rest, const char *name, size_t name_bytes, char *room,
                       size_t room_bytes)
{
    while (**rest) {
        const char *field = *rest;
        size_t bytes = strcspn(field, "\n");

        *rest += bytes + (field[bytes] == '\n');
        if (bytes > name_bytes && field[name_bytes] == ':' &&
            strncasecmp(field, name, name_bytes) == 0) {
            const char *value = field + name_bytes + 1;
            value += strspn(value, " ");
            snprintf(room, room_bytes, "%.*s", (int)(field + bytes - value), value);
            return true;
        }
    }
    return false;
}

static void compare_field(struct comparison *c, const char *wanted, const char *fields)
{
    bool absent = wanted[0] == '!';
    const char *name = wanted + absent;
    size_t name_bytes = strcspn(name, ":");
    const char *value = name + name_bytes + !absent;
    size_t room_bytes = strlen(fields) + 1;
    char *room = malloc(room_bytes);
    bool fits = absent;
    const char *rest = fields;

    value += strspn(value, " ");
    while (room && next_value(&rest, name, name_bytes, room, room_bytes)) {
        fits = absent ? false : fits || value_fits(value, room);
    }
    if (!room || !fits) {
        tell_wanted(c, wanted);
        rest = fields;
        while (room && next_value(&rest, name, name_bytes, room, room_bytes)) {
            printf("     + %.*s: %s\n", (int)name_bytes, name, room);
        }
    }
    free(room);
}

/* All lines are expressions, or none is. */
static bool is_pattern(const struct test_case *test)
{
    return test->body_lines > 0 && test->body[0][0] == '~';
}

/* Newlines at the end do not count. */
static bool body_equals(const struct test_case *test, const char *got, size_t got_bytes)
{
    const char *end = got + got_bytes;

    for (size_t i = 0; i < test->body_lines; i++) {
        size_t bytes = strlen(test->body[i]);
        if (strncmp(got, test->body[i], bytes) != 0 || (got[bytes] != '\n' && got[bytes] != '\0')) {
            return false;
        }
        got += bytes + (got[bytes] == '\n');
    }
    return got + strspn(got, "\n") == end; /* and not a NUL before it */
}

static void compare_body(struct comparison *c, const char *got, size_t got_bytes)
{
    const struct test_case *test = c->test;
    bool pattern = is_pattern(test);
    bool fits = pattern || test->body_lines == 0 || body_equals(test, got, got_bytes);

    for (size_t i = 0; i < test->body_lines; i++) {
        if (pattern ? !matches(test->body[i] + (test->body[i][0] == '~'), got) : !fits) {
            tell_wanted(c, test->body[i]);
            fits = false;
        }
    }
    if (!fits) {
        tell_lines(got);
    }
}

/* "200" fits "200 OK", and so does "200 OK". */
static void compare_status(struct comparison *c, const char *head)
{
    const char *wanted = c->test->status;
    size_t bytes = strlen(wanted);
    bool fits = strncmp(head, wanted, bytes) == 0 && bytes > 0 &&
                (head[bytes] == ' ' || head[bytes] == '\n');

    if (!fits) {
        differ(c);
        printf("     - %s\n     + %.*s\n", wanted, (int)strcspn(head, "\n"), head);
    }
}

/* ---- running --------------------------------------------------------------------------------- */

static void run_case(struct tester *t, const char *path, const struct test_case *test)
{
    struct comparison c = {.test = test, .path = path};
    struct offline_client client = t->options->client;
    struct rehearsal_answer answer;
    char error[ERROR_BYTES];

    client.peer = test->peer ? test->peer : client.peer;
    client.tls = client.tls || test->tls;
    if (!rehearsal_ask(t->site, &client, test->request, test->request_bytes, &answer, error,
                       sizeof error)) {
        tell_wanted(&c, test->status);
        tell_lines(error);
        t->failed++;
        return;
    }
    const char *fields = answer.head + strcspn(answer.head, "\n") + 1;
    compare_status(&c, answer.head);
    for (size_t i = 0; i < test->field_count; i++) {
        compare_field(&c, test->fields[i], fields);
    }
    compare_body(&c, answer.body, answer.body_bytes);
    rehearsal_answer_free(&answer);
    if (!c.differs) {
        tell_case("ok  ", path, test);
    }
    t->passed += !c.differs;
    t->failed += c.differs;
}

/* The cases of a file see what those before them did, and nothing of other files. */
static void run_file(struct tester *t, const char *path)
{
    struct test_file file;
    char error[ERROR_BYTES];

    if (!test_file_read(&file, path)) {
        t->refused = true;
    } else if (!rehearsal_restart(t->site, error, sizeof error)) {
        tool_refuse("%s", error);
        t->refused = true;
    } else {
        for (size_t i = 0; i < file.case_count; i++) {
            run_case(t, path, &file.cases[i]);
        }
    }
    test_file_free(&file);
}

static int is_test(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 5 && strcmp(entry->d_name + length - 5, ".http") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Runs the files of `site`/`folder`; how many there are. */
static unsigned run_folder(struct tester *t, const char *folder)
{
    char path[PATH_BYTES];
    struct dirent **entries;
    unsigned count = 0;

    if ((size_t)snprintf(path, sizeof path, "%s/%s", t->options->file, folder) >= sizeof path) {
        return 0;
    }
    int found = scandir(path, &entries, is_test, by_bytes);
    for (int i = 0; i < found; i++) {
        if ((size_t)snprintf(path, sizeof path, "%s/%s/%s", t->options->file, folder,
                             entries[i]->d_name) < sizeof path &&
            !t->refused) {
            run_file(t, path);
            count++;
        }
        free(entries[i]);
    }
    if (found >= 0) {
        free(entries);
    }
    return count;
}

static int run_all(struct tester *t)
{
    const struct tool_options *options = t->options;
    unsigned files = options->test_count;

    for (unsigned i = 0; i < options->test_count && !t->refused; i++) {
        run_file(t, options->tests[i]);
    }
    if (files == 0) {
        files = run_folder(t, ".zeroserve/tests") + run_folder(t, "tests");
    }
    if (files == 0) {
        return tool_refuse("%s: no *.http in .zeroserve/tests or tests of it", options->file);
    }
    printf("%u passed, %u failed\n", t->passed, t->failed);
    return t->refused ? TOOL_REFUSED : t->failed > 0 ? TOOL_FAULT : TOOL_OK;
}

int tool_test(const struct tool_options *options)
{
    struct tester t = {.options = options};
    const struct script_options how = {
        .interpret = options->interpret,
        .budget_ms = options->budget_ms,
        .env = options->script_env,
        .env_count = options->script_env_count,
        .trusted = options->trusted,
        .trusted_count = options->trusted_count,
    };
    char error[ERROR_BYTES];

    t.site = rehearsal_open(options->file, &how, error, sizeof error);
    if (!t.site) {
        return tool_refuse("%s", error);
    }
    int status = run_all(&t);
    rehearsal_free(t.site);
    return status;
}

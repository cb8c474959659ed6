/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a file is cut into lines in place; cases are ranges of these lines. */
#include "tools/test_file.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/tool.h"

struct reader {
    struct test_file *file;
    const char *path;
    size_t at; /* the next line */
    size_t end;
};

static bool starts(const char *line, const char *with)
{
    return strncmp(line, with, strlen(with)) == 0;
}

static char *skip_blanks(char *text)
{
    return text + strspn(text, " \t");
}

static bool complain(const struct reader *r, const char *what)
{
    size_t at = r->at < r->end ? r->at + 1 : r->end; /* or the last line */

    tool_refuse("%s:%zu: %s", r->path, at, what);
    return false;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static bool cut_lines(struct reader *r, char *text, size_t bytes)
{
    size_t count = 1;

    for (size_t i = 0; i < bytes; i++) {
        count += text[i] == '\n';
    }
    r->file->lines = calloc(count, sizeof *r->file->lines);
    r->file->cases = calloc(count, sizeof *r->file->cases);
    if (!r->file->lines || !r->file->cases) {
        return complain(r, "out of memory");
    }
    while (text) {
        char *newline = strchr(text, '\n');
        r->file->lines[r->end++] = text;
        if (newline) {
            bool crlf = newline > text && newline[-1] == '\r';
            newline[crlf ? -1 : 0] = '\0';
        }
        text = newline && newline[1] ? newline + 1 : NULL;
    }
    return true;
}

static char *line(const struct reader *r)
{
    return r->at < r->end ? r->file->lines[r->at] : NULL;
}

/* Is there a line of this case that does not begin with `mark`? */
static bool inside(const struct reader *r, const char *mark)
{
    return line(r) && !starts(line(r), "###") && (!mark || !starts(line(r), mark));
}

/* Goes to the end of the section, as `inside` has it, and gives its lines without the empty ones at
 * its end. */
static char **section(struct reader *r, const char *mark, size_t *count)
{
    char **first = r->file->lines + r->at;

    *count = 0;
    while (inside(r, mark)) {
        r->at++;
        *count += 1;
    }
    while (*count > 0 && first[*count - 1][0] == '\0') {
        *count -= 1;
    }
    return first;
}

/* ---- a case ---------------------------------------------------------------------------------- */

static bool read_directive(const struct reader *r, struct test_case *test)
{
    char *text = line(r);

    if (starts(text, "@peer ")) {
        test->peer = skip_blanks(text + 6);
    } else if (strcmp(text, "@tls") == 0) {
        test->tls = true;
    } else {
        return complain(r, "want @peer ADDRESS or @tls");
    }
    return true;
}

static size_t bytes_of(char *const *lines, size_t count)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        bytes += strlen(lines[i]) + 1;
    }
    return bytes;
}

static char *join(char *out, char *const *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out = stpcpy(out, lines[i]);
        *out++ = '\n';
    }
    return out;
}

static bool is_framed(char *const *head, size_t count)
{
    bool framed = false;

    for (size_t i = 0; i < count; i++) {
        framed = framed || strncasecmp(head[i], "content-length:", 15) == 0 ||
                 strncasecmp(head[i], "transfer-encoding:", 18) == 0;
    }
    return framed;
}

/* The last newline of a body is that of the file's line, and not of the body, unless the request
 * says by itself how long it is. */
static bool compose(struct test_case *test, char *const *head, size_t head_lines, char *const *body,
                    size_t body_lines)
{
    enum { LENGTH_FIELD_BYTES = 64 };
    bool framed = is_framed(head, head_lines);
    size_t body_bytes = bytes_of(body, body_lines);
    size_t room = bytes_of(head, head_lines) + body_bytes + LENGTH_FIELD_BYTES;
    char *out = malloc(room);

    if (!out) {
        return false;
    }
    test->request = out;
    out = join(out, head, head_lines);
    if (!framed && body_lines > 0) {
        body_bytes--;
        out += snprintf(out, LENGTH_FIELD_BYTES, "Content-Length: %zu\n", body_bytes);
    }
    *out++ = '\n';
    join(out, body, body_lines);
    test->request_bytes = (size_t)(out - test->request) + body_bytes;
    return true;
}

static bool read_request(struct reader *r, struct test_case *test)
{
    size_t head_lines = 0;
    size_t body_lines = 0;
    char **body = NULL;

    while (inside(r, "===") && (line(r)[0] == '\0' || line(r)[0] == '#' || line(r)[0] == '@')) {
        if (line(r)[0] == '@' && !read_directive(r, test)) {
            return false;
        }
        r->at++;
    }
    char **head = r->file->lines + r->at;
    while (inside(r, "===") && line(r)[0] != '\0') {
        head_lines++;
        r->at++;
    }
    if (head_lines == 0) {
        return complain(r, "want a request line");
    }
    if (inside(r, "===")) {
        r->at++;
        body = section(r, "===", &body_lines);
    }
    return compose(test, head, head_lines, body, body_lines) || complain(r, "out of memory");
}

static bool read_expected(struct reader *r, struct test_case *test)
{
    if (!line(r) || !starts(line(r), "===")) {
        return complain(r, "want === and the status that is expected");
    }
    test->status = skip_blanks(line(r) + 3);
    r->at++;
    test->fields = r->file->lines + r->at;
    for (; inside(r, NULL) && line(r)[0] != '\0'; r->at++) {
        if (line(r)[0] != '!' && !strchr(line(r), ':')) {
            return complain(r, "want NAME: VALUE, NAME: ~REGEX or !NAME");
        }
        test->field_count++;
    }
    test->body = section(r, NULL, &test->body_lines);
    while (test->body_lines > 0 && test->body[0][0] == '\0') {
        test->body++;
        test->body_lines--;
    }
    return true;
}

static bool read_cases(struct reader *r)
{
    for (; line(r);) {
        if (!starts(line(r), "###")) {
            r->at++; /* before the first */
            continue;
        }
        struct test_case *test = &r->file->cases[r->file->case_count++];
        test->name = skip_blanks(line(r) + 3);
        test->line = (unsigned)(r->at + 1);
        r->at++;
        if (!read_request(r, test) || !read_expected(r, test)) {
            return false;
        }
    }
    return r->file->case_count > 0 || complain(r, "no case: want ### and its name");
}

bool test_file_read(struct test_file *file, const char *path)
{
    struct reader r = {.file = file, .path = path};
    uint8_t *bytes;
    size_t length;

    *file = (struct test_file){.text = NULL};
    if (!tool_read(path, &bytes, &length)) {
        return false;
    }
    file->text = realloc(bytes, length + 1);
    if (!file->text) {
        free(bytes);
        return complain(&r, "out of memory");
    }
    file->text[length] = '\0';
    if (memchr(file->text, '\0', length)) {
        return complain(&r, "a NUL: this is not text");
    }
    return cut_lines(&r, file->text, length) && read_cases(&r);
}

void test_file_free(struct test_file *file)
{
    for (size_t i = 0; i < file->case_count; i++) {
        free(file->cases[i].request);
    }
    free(file->cases);
    free(file->lines);
    free(file->text);
}

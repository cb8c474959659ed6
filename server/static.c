/* SPDX-License-Identifier: Apache-2.0 */
/* From a path to an answer: which file it names, then what the request's conditions and range make
 * of it. Paths are normalised before (path_normalize), so lookup is by exact name; what lies below
 * .zeroserve/ is not in the index (site_find).
 */
#include "server/static.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "server/chars.h"
#include "server/conditional.h"
#include "server/date.h"
#include "server/limits.h"

enum { BOUNDARY_BYTES = 32 };

/* The fields of an answer that is all of a file, in their order. */
enum plain_field {
    PLAIN_TYPE,
    PLAIN_RANGES,
    PLAIN_ETAG,
    PLAIN_MODIFIED,
    PLAIN_VARY, /* or not */
    PLAIN_FIELDS,
};

enum {
    FACTS = 256,      /* some 90 KiB */
    TEXT_BYTES = 256, /* the longest type has 73 */
    SPARE_FIELDS = 3, /* room for what scripts add to an answer */
};

/* What is told about a file. */
struct facts {
    const struct site_file *file; /* NULL: none */
    struct span type;
    int64_t last_modified; /* as it is sent, in the range of years that can be written */
    char etag[SITE_ETAG_BYTES];
    char modified[SITE_DATE_BYTES];
    uint16_t text_bytes;
    uint8_t field_count;
    char text[TEXT_BYTES]; /* of the fields, for HTTP/1 */
};

/* As an exchange has it. Values of `fields` lie in `facts`, whose text is there as far as it goes,
 * and for HTTP/1 only. */
struct told {
    struct field fields[PLAIN_FIELDS + SPARE_FIELDS];
    struct facts facts;
};

struct static_facts {
    struct facts of[FACTS];
};

/* Adds a field whose value is static, or in the pool, and of our own making. */
static bool add(struct exchange *ex, struct span name, struct span value)
{
    return field_own(ex, &ex->response_fields, name, value);
}

/* ---- facts */

struct static_facts *static_facts_create(void)
{
    return calloc(1, sizeof(struct static_facts));
}

void static_facts_free(struct static_facts *facts)
{
    free(facts);
}

static bool varies(const struct site_file *file)
{
    return file->codings != ENCODING_BIT(ENCODING_IDENTITY);
}

/* The values of some lie in the facts themselves. */
static void refer_fields(const struct facts *facts, struct field fields[PLAIN_FIELDS])
{
    fields[PLAIN_TYPE] = (struct field){SPAN("content-type"), facts->type};
    fields[PLAIN_RANGES] = (struct field){SPAN("accept-ranges"), SPAN("bytes")};
    fields[PLAIN_ETAG] = (struct field){SPAN("etag"), {facts->etag, SITE_ETAG_BYTES - 1}};
    fields[PLAIN_MODIFIED] =
        (struct field){SPAN("last-modified"), {facts->modified, SITE_DATE_BYTES - 1}};
    fields[PLAIN_VARY] = (struct field){SPAN("vary"), SPAN("accept-encoding")};
}

static char *put_line(const struct facts *facts, char *out, const struct field *field)
{
    const size_t line_ends = 4; /* ": " and CRLF */
    size_t room = sizeof facts->text - (size_t)(out - facts->text);
    assert(field->name.len + field->value.len + line_ends <= room);
    (void)room, (void)line_ends;
    out = span_put(span_put(out, field->name), SPAN(": "));
    return span_put(span_put(out, field->value), SPAN("\r\n"));
}

static void find_facts(const struct site_file *file, struct facts *facts)
{
    facts->file = file;
    facts->type = site_file_type(file);
    facts->last_modified = 0;
    site_file_etag(file, facts->etag);
    site_file_last_modified(file, facts->modified);
    (void)date_parse(span_of(facts->modified), &facts->last_modified);
    facts->field_count = PLAIN_VARY + varies(file);
    struct field fields[PLAIN_FIELDS];
    refer_fields(facts, fields);
    char *end = facts->text;
    for (unsigned i = 0; i < facts->field_count; i++) {
        end = put_line(facts, end, &fields[i]);
    }
    facts->text_bytes = (uint16_t)(end - facts->text);
}

/* The text is of no use to HTTP/2, whose blocked streams are many. */
static bool writes_lines(const struct exchange *ex)
{
    return ex->proto_major == 1;
}

/* The facts, which stay until those of another file are asked for. */
static const struct facts *known_facts(struct static_facts *known, const struct site_file *file)
{
    struct facts *kept = &known->of[(uintptr_t)file / sizeof(*file) % FACTS];
    if (kept->file != file) {
        find_facts(file, kept);
    }
    return kept;
}

/* A copy in the pool. NULL: out of memory. */
static struct told *tell(struct exchange *ex, const struct facts *facts)
{
    size_t bytes = offsetof(struct facts, text) + (writes_lines(ex) ? facts->text_bytes : 0);
    struct told *told = pool_alloc(&ex->pool, offsetof(struct told, facts) + bytes);
    if (told != NULL) {
        memcpy(&told->facts, facts, bytes);
    }
    return told;
}

/* The same where nothing is known yet. */
static struct told *find_and_tell(struct exchange *ex, const struct site_file *file)
{
    struct facts facts;
    find_facts(file, &facts);
    return tell(ex, &facts);
}

/* ---- lookup */

/* The file called `path` + `tail` + `name`; names too long for a tar are not there. */
static const struct site_file *find_joined(const struct site *site, struct span path,
                                           struct span tail, struct span name)
{
    char joined[LIM_TAR_PATH_BYTES];
    if (path.len > sizeof joined || tail.len > sizeof joined - path.len ||
        name.len > sizeof joined - path.len - tail.len) {
        return NULL;
    }
    memcpy(joined, path.base, path.len);
    memcpy(joined + path.len, tail.base, tail.len);
    memcpy(joined + path.len + tail.len, name.base, name.len);
    return site_find(site, (struct span){joined, path.len + tail.len + name.len});
}

static struct span last_segment(struct span path)
{
    const char *slash = memrchr(path.base, '/', path.len);
    size_t start = slash != NULL ? (size_t)(slash - path.base) + 1 : 0;
    return (struct span){path.base + start, path.len - start};
}

/* Whether a directory's name is in the address the client knows, so that a '/' behind it makes the
 * links of its index right. Scripts may have put another name there. */
static bool may_redirect(const struct exchange *ex, const struct static_options *options)
{
    return !options->no_dir_redirect &&
           (!ex->uri_changed || span_equal(last_segment(ex->client_path), last_segment(ex->path)));
}

/* The file to serve; or NULL, and *redirect tells whether it is a directory to be asked for with a
 * final '/'. */
static const struct site_file *find(const struct site *site, const struct static_options *options,
                                    const struct exchange *ex, bool *redirect)
{
    struct span path = {ex->path.base + 1, ex->path.len - 1};
    bool may = may_redirect(ex, options);
    *redirect = false;
    if (path.len == 0 || path.base[path.len - 1] == '/') {
        return find_joined(site, path, SPAN(""), span_of(options->index));
    }
    const struct site_file *file = site_find(site, path);
    if (file != NULL) {
        return file;
    }
    file = find_joined(site, path, SPAN("/"), span_of(options->index));
    if (file != NULL) {
        *redirect = may;
        return may ? NULL : file;
    }
    file = options->try_html ? find_joined(site, path, SPAN(".html"), SPAN("")) : NULL;
    *redirect = file == NULL && may && site_is_directory(site, path);
    return file;
}

/* ---- answers without a file */

static void answer_method(struct exchange *ex)
{
    if (span_equal(ex->method, SPAN("OPTIONS"))) {
        response_start(ex, 204);
    } else {
        response_error(ex, 405);
    }
    if (!add(ex, SPAN("allow"), SPAN("GET, HEAD, OPTIONS"))) {
        response_error(ex, 500);
    }
}

/* The site's own page, without validators: they would be the page's, not of what was asked for. */
static void answer_not_found(struct exchange *ex, const struct site *site)
{
    const struct site_file *page = site_find(site, SPAN("404.html"));
    if (page == NULL) {
        response_error(ex, 404);
        return;
    }
    response_start(ex, 404);
    if (!add(ex, SPAN("content-type"), site_file_type(page))) {
        response_error(ex, 500);
        return;
    }
    ex->body =
        (struct body){.kind = BODY_FILE, .file_offset = page->offset, .file_bytes = page->bytes};
}

/* Escapes the path again instead of repeating it as sent: "//host" or "/\host" at its start would
 * be an address elsewhere. */
static char *put_escaped(char *out, struct span path)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < path.len; i++) {
        char c = path.base[i];
        if (char_is(c, CHAR_PATH)) {
            *out++ = c;
        } else {
            *out++ = '%';
            *out++ = hex[(uint8_t)c >> 4];
            *out++ = hex[(uint8_t)c & 15];
        }
    }
    return out;
}

/* To the address that the client knows. */
static void answer_redirect(struct exchange *ex)
{
    struct span path = ex->uri_changed ? ex->client_path : ex->path;
    struct span query = ex->uri_changed ? ex->client_query : ex->query;
    char *location = pool_alloc(&ex->pool, path.len * 3 + query.len + 2);
    if (location == NULL) {
        response_error(ex, 500);
        return;
    }
    char *end = span_put(put_escaped(location, path), SPAN("/"));
    if (query.len > 0) {
        end = span_put(span_put(end, SPAN("?")), query);
    }
    response_error(ex, 308);
    if (!field_add(ex, &ex->response_fields, SPAN("location"),
                   (struct span){location, (size_t)(end - location)})) {
        response_error(ex, 500);
    }
}

/* ---- answers from a file */

static bool add_validators(struct exchange *ex, const struct facts *facts)
{
    return add(ex, SPAN("etag"), (struct span){facts->etag, SITE_ETAG_BYTES - 1}) &&
           add(ex, SPAN("last-modified"), (struct span){facts->modified, SITE_DATE_BYTES - 1});
}

static bool answer_unsatisfiable(struct exchange *ex, uint64_t bytes)
{
    response_error(ex, 416);
    struct span range = pool_printf(&ex->pool, "bytes */%llu", (unsigned long long)bytes);
    return range.base != NULL && add(ex, SPAN("content-range"), range);
}

static struct span range_text(struct exchange *ex, const struct byte_range *range, uint64_t bytes)
{
    return pool_printf(&ex->pool, "bytes %llu-%llu/%llu", (unsigned long long)range->offset,
                       (unsigned long long)(range->offset + range->count - 1),
                       (unsigned long long)bytes);
}

static bool answer_range(struct exchange *ex, const struct site_file *file,
                         const struct byte_range *range, struct span type)
{
    struct span text = range_text(ex, range, file->bytes);
    response_start(ex, 206);
    ex->body = (struct body){
        .kind = BODY_FILE, .file_offset = file->offset + range->offset, .file_bytes = range->count};
    return text.base != NULL && add(ex, SPAN("content-range"), text) &&
           add(ex, SPAN("content-type"), type);
}

/* Random, so that nobody can write a file that holds it. */
static bool make_boundary(char out[BOUNDARY_BYTES + 1])
{
    uint64_t bits[2];
    if (getrandom(bits, sizeof bits, GRND_NONBLOCK) != (ssize_t)sizeof bits) {
        return false;
    }
    snprintf(out, BOUNDARY_BYTES + 1, "%016llx%016llx", (unsigned long long)bits[0],
             (unsigned long long)bits[1]);
    return true;
}

/* multipart/byteranges, RFC 9110 14.6: each part is a segment with its head before it; the last
 * segment is the final delimiter. */
static bool answer_ranges(struct exchange *ex, const struct site_file *file,
                          const struct range_set *set, struct span type)
{
    char boundary[BOUNDARY_BYTES + 1];
    struct body_segment *segments = pool_alloc(&ex->pool, (set->count + 1) * sizeof *segments);
    if (segments == NULL || !make_boundary(boundary)) {
        return false;
    }
    response_start(ex, 206);
    for (unsigned i = 0; i < set->count; i++) {
        const struct byte_range *range = &set->items[i];
        struct span text = range_text(ex, range, file->bytes);
        struct span head =
            text.base == NULL
                ? text
                : pool_printf(&ex->pool,
                              "%s--%s\r\ncontent-type: %.*s\r\ncontent-range: %.*s\r\n\r\n",
                              i > 0 ? "\r\n" : "", boundary, (int)type.len, type.base,
                              (int)text.len, text.base);
        if (head.base == NULL) {
            return false;
        }
        segments[i] = (struct body_segment){head, file->offset + range->offset, range->count};
    }
    struct span end = pool_printf(&ex->pool, "\r\n--%s--\r\n", boundary);
    struct span outer = pool_printf(&ex->pool, "multipart/byteranges; boundary=%s", boundary);
    segments[set->count] = (struct body_segment){.bytes = end};
    ex->body =
        (struct body){.kind = BODY_SEGMENTS, .segments = segments, .segment_count = set->count + 1};
    return end.base != NULL && outer.base != NULL && add(ex, SPAN("content-type"), outer);
}

static bool answer_all(struct exchange *ex, const struct site_file *file, struct span type)
{
    response_start(ex, 200);
    ex->body =
        (struct body){.kind = BODY_FILE, .file_offset = file->offset, .file_bytes = file->bytes};
    return add(ex, SPAN("content-type"), type);
}

/* All of the file, or the parts asked for. */
static bool answer_content(struct exchange *ex, const struct site_file *file, struct span type,
                           const struct validators *validators)
{
    struct range_set set;
    enum range_result range = RANGE_ALL;
    if (span_equal(ex->method, SPAN("GET"))) {
        range = range_select(&ex->request_fields, validators, file->bytes, &set);
    }
    switch (range) {
    case RANGE_NONE: return answer_unsatisfiable(ex, file->bytes);
    case RANGE_ALL: return answer_all(ex, file, type);
    case RANGE_PART: break;
    }
    return set.count == 1 ? answer_range(ex, file, &set.items[0], type)
                          : answer_ranges(ex, file, &set, type);
}

/* Goes back to the last `*` only, which is enough: time is at most the product of the lengths. */
static bool glob_matches(const char *glob, struct span text)
{
    const char *star = NULL;
    size_t at = 0;
    size_t retry = 0;
    while (at < text.len) {
        if (*glob == '*') {
            star = glob++;
            retry = at;
        } else if (*glob != '\0' && (*glob == '?' || *glob == text.base[at])) {
            glob++;
            at++;
        } else if (star != NULL) {
            glob = star + 1;
            at = ++retry;
        } else {
            return false;
        }
    }
    while (*glob == '*') {
        glob++;
    }
    return *glob == '\0';
}

static bool rule_matches(const struct cache_rule *rule, const struct site_file *file)
{
    struct span path = {file->path, file->path_bytes};
    if (strchr(rule->glob, '/') == NULL) {
        const char *slash = memrchr(path.base, '/', path.len);
        size_t skipped = slash != NULL ? (size_t)(slash + 1 - path.base) : 0;
        return glob_matches(rule->glob, (struct span){path.base + skipped, path.len - skipped});
    }
    if (rule->glob[0] == '/') {
        return glob_matches(rule->glob + 1, path); /* paths are kept without */
    }
    return glob_matches(rule->glob, path);
}

/* Of 200, 206 and 304: errors are not to be kept as long as the file. */
static bool add_cache_control(struct exchange *ex, const struct static_options *options,
                              const struct site_file *file)
{
    unsigned rules = ex->status >= 400 ? 0 : options->cache_rule_count;
    for (unsigned i = 0; i < rules; i++) {
        if (rule_matches(&options->cache_rules[i], file)) {
            return field_add(ex, &ex->response_fields, SPAN("cache-control"),
                             span_of(options->cache_rules[i].value));
        }
    }
    return true;
}

/* Adds what a client must know to keep the answer, whichever it is: 200, 206, 304, 416 or 412. */
static bool add_vary(struct exchange *ex, const struct site_file *file)
{
    return !varies(file) || add(ex, SPAN("vary"), SPAN("accept-encoding"));
}

/* What conditions and a range make of the answer. *done: nothing is to be added to it. */
static bool answer_asked(struct exchange *ex, const struct site_file *file, struct span type,
                         const struct facts *facts, bool *done)
{
    struct validators validators = {
        .etag = {facts->etag, SITE_ETAG_BYTES - 1},
        .last_modified = facts->last_modified,
    };
    *done = true;
    switch (conditional_check(&ex->request_fields, &validators)) {
    case CONDITIONAL_FAILED: response_error(ex, 412); return true;
    case CONDITIONAL_UNCHANGED: response_start(ex, 304); return add_validators(ex, facts);
    case CONDITIONAL_PASS: break;
    }
    *done = false;
    return answer_content(ex, file, type, &validators);
}

/* One coding of a file: the selected representation, which conditions and ranges are about. */
static bool answer_coded(struct exchange *ex, const struct site_file *coded, enum encoding coding,
                         struct span type, const struct facts *facts)
{
    bool done = false;
    bool fine = conditional_any(&ex->request_fields) ? answer_asked(ex, coded, type, facts, &done)
                                                     : answer_all(ex, coded, type);
    if (!fine || done) {
        return fine;
    }
    return add(ex, SPAN("accept-ranges"), SPAN("bytes")) &&
           (ex->status == 416 || (add_validators(ex, facts) &&
                                  (coding == ENCODING_IDENTITY ||
                                   add(ex, SPAN("content-encoding"), encoding_rows[coding].name))));
}

/* All of a file, to a request without conditions: what nearly all ask for. */
static void answer_plain(struct exchange *ex, const struct site_file *file, struct told *told)
{
    const struct facts *facts = &told->facts;
    response_start(ex, 200);
    ex->body =
        (struct body){.kind = BODY_FILE, .file_offset = file->offset, .file_bytes = file->bytes};
    refer_fields(facts, told->fields);
    field_own_all(&ex->response_fields, told->fields, facts->field_count,
                  PLAIN_FIELDS + SPARE_FIELDS);
    if (writes_lines(ex)) {
        ex->known_text = (struct span){facts->text, facts->text_bytes};
        ex->response_fields.known_told = true;
    }
}

/* The content type is the plain file's, whatever the name of the sibling says. */
static bool answer_file(struct exchange *ex, const struct site *site,
                        const struct static_options *options, struct static_facts *known,
                        const struct site_file *file)
{
    enum encoding coding = encoding_select(&ex->request_fields, file->codings);
    if (coding == ENCODINGS) {
        response_error(ex, 406);
        return add_vary(ex, file);
    }
    const struct site_file *coded =
        coding == ENCODING_IDENTITY ? file : site_find_coded(site, file, coding);
    struct told *told =
        known != NULL ? tell(ex, known_facts(known, coded)) : find_and_tell(ex, coded);
    if (told == NULL) {
        return false;
    }
    if (coded == file && !conditional_any(&ex->request_fields)) {
        answer_plain(ex, file, told);
        return add_cache_control(ex, options, file);
    }
    struct span type = coded == file ? told->facts.type : site_file_type(file);
    return answer_coded(ex, coded, coding, type, &told->facts) && add_vary(ex, file) &&
           add_cache_control(ex, options, file);
}

void static_answer(struct exchange *ex, const struct site *site,
                   const struct static_options *options, struct static_facts *known)
{
    if (!span_equal(ex->method, SPAN("GET")) && !span_equal(ex->method, SPAN("HEAD"))) {
        answer_method(ex);
        return;
    }
    bool redirect;
    const struct site_file *file = find(site, options, ex, &redirect);
    if (redirect) {
        answer_redirect(ex);
    } else if (file == NULL) {
        answer_not_found(ex, site);
    } else if (!answer_file(ex, site, options, known, file)) {
        response_error(ex, 500);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Which trailers may go on: all that are not known to change what a message is or who may have it,
 * for most trailers are of applications (gRPC's status, digests, signatures). */
#include "server/trailers.h"

#include "server/forward.h"
#include "server/h1_int.h"

/* RFC 9110 6.5.1: routing, modifiers of requests, credentials, control of answers, what the content
 * is. Those about a connection are forward.c's. */
static bool comes_too_late(struct span name)
{
    static const struct span never[] = {
        SPAN("host"),
        SPAN("content-encoding"),
        SPAN("content-type"),
        SPAN("content-range"),
        SPAN("cache-control"),
        SPAN("expect"),
        SPAN("max-forwards"),
        SPAN("pragma"),
        SPAN("range"),
        SPAN("if-match"),
        SPAN("if-none-match"),
        SPAN("if-modified-since"),
        SPAN("if-range"),
        SPAN("if-unmodified-since"),
        SPAN("authorization"),
        SPAN("www-authenticate"),
        SPAN("authentication-info"),
        SPAN("cookie"),
        SPAN("set-cookie"),
        SPAN("age"),
        SPAN("date"),
        SPAN("expires"),
        SPAN("location"),
        SPAN("retry-after"),
        SPAN("vary"),
        SPAN("warning"),
        SPAN("forwarded"),
        SPAN("via"),
    };
    const struct span forwarded = SPAN("x-forwarded-");
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        if (span_equal_nocase(name, never[i])) {
            return true;
        }
    }
    return name.len >= forwarded.len &&
           span_equal_nocase((struct span){name.base, forwarded.len}, forwarded);
}

static bool may_trail(struct span name)
{
    return !forward_is_hop_by_hop(name) && !comes_too_late(name);
}

bool trailers_asked_for(const struct exchange *ex)
{
    const struct field_list *fields = &ex->request_fields;
    for (unsigned i = 0; i < fields->count; i++) {
        struct span list = fields->items[i].value;
        struct span coding;
        while (span_equal_nocase(fields->items[i].name, SPAN("te")) &&
               h1_list_next(&list, &coding)) {
            if (span_equal_nocase(coding, SPAN("trailers"))) {
                return true;
            }
        }
    }
    return false;
}

bool trailers_taken(const struct exchange *ex)
{
    return ex->proto_major >= 2 || (ex->proto_minor > 0 && trailers_asked_for(ex));
}

struct span trailers_announced(const struct field *fields, unsigned count)
{
    struct span announced = SPAN("");
    for (unsigned i = 0; i < count; i++) {
        struct span list = fields[i].value;
        struct span name;
        if (!span_equal_nocase(fields[i].name, SPAN("trailer"))) {
            continue;
        }
        if (announced.len > 0) {
            return SPAN("");
        }
        announced = list;
        while (h1_list_next(&list, &name)) {
            if (!field_name_valid(name) || !may_trail(name)) {
                return SPAN("");
            }
        }
    }
    return announced;
}

bool trailers_add(struct exchange *ex, struct field_list *list, const struct field *field)
{
    bool removed =
        list == &ex->response_trailers && (field_find(&ex->deleted_fields, field->name) != NULL ||
                                           field_find(&ex->untrailed_fields, field->name) != NULL);
    return removed || !may_trail(field->name) || field_add(ex, list, field->name, field->value);
}

bool trailers_add_section(struct exchange *ex, struct field_list *list, struct span section)
{
    struct field field;
    while (h1_trailer_next(&section, &field)) {
        if (!trailers_add(ex, list, &field)) {
            return false;
        }
    }
    return true;
}

static bool is_touched(const struct exchange *ex, struct span name)
{
    for (unsigned i = 0; i < ex->touched_fields.count; i++) {
        if (field_matches(ex->touched_fields.items[i].name, name)) {
            return true;
        }
    }
    return memchr(name.base, '_', name.len) != NULL;
}

void trailers_withhold(struct exchange *ex)
{
    struct field_list *list = &ex->request_body.trailers;
    unsigned kept = 0;
    for (unsigned i = 0; i < list->count; i++) {
        if (!is_touched(ex, list->items[i].name)) {
            list->items[kept++] = list->items[i];
        }
    }
    list->count = kept;
}

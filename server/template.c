/* SPDX-License-Identifier: Apache-2.0 */
#include "server/template.h"

#include <assert.h>

#define OPEN_WORD  SPAN("<zs-meta")
#define CLOSE_WORD SPAN("</zs-meta>")
#define RAW_WORD   SPAN("raw")

static bool is_reserved(struct span key)
{
    return key.len >= 3 && memcmp(key.base, "zs.", 3) == 0;
}

/* Is `type` this media type, whatever its parameters? */
static bool is_type(struct span type, struct span wanted)
{
    if (type.len < wanted.len || !span_equal_nocase((struct span){type.base, wanted.len}, wanted)) {
        return false;
    }
    return type.len == wanted.len || memchr("; \t", type.base[wanted.len], 3) != NULL;
}

/* Is there anything to put into a page? */
static bool has_values(const struct field_list *meta)
{
    for (unsigned i = 0; i < meta->count; i++) {
        if (!is_reserved(meta->items[i].name)) {
            return true;
        }
    }
    return false;
}

bool template_wanted(const struct exchange *ex)
{
    if (!has_values(&ex->meta) || ex->status == 206 || ex->body.kind == BODY_NONE ||
        field_find(&ex->response_fields, SPAN("content-encoding")) != NULL) {
        return false;
    }
    const struct field *type = field_find(&ex->response_fields, SPAN("content-type"));
    return type != NULL && (is_type(type->value, SPAN("text/html")) ||
                            is_type(type->value, SPAN("application/xml")));
}

void template_init(struct template *t, const struct field_list *meta)
{
    t->meta = meta;
    t->stage = STAGE_TEXT;
    t->reopen = false;
    t->pending = SPAN("");
    t->held_bytes = 0;
}

/* ---- what goes out ---- */

static struct span escaped(const char *c)
{
    switch (*c) {
    case '<': return SPAN("&lt;");
    case '>': return SPAN("&gt;");
    case '&': return SPAN("&amp;");
    case '"': return SPAN("&quot;");
    case '\'': return SPAN("&#39;");
    default: return (struct span){c, 1};
    }
}

/* Writes of `pending` what fits. */
static size_t flush(struct template *t, char *out, size_t room)
{
    size_t used = 0;

    while (t->pending.len > 0) {
        struct span piece = t->escape ? escaped(t->pending.base) : t->pending;
        size_t taken = 1;

        if (!t->escape) {
            piece.len = piece.len < room - used ? piece.len : room - used;
            taken = piece.len;
        }
        if (taken == 0 || piece.len > room - used) {
            break;
        }
        memcpy(out + used, piece.base, piece.len);
        used += piece.len;
        t->pending.base += taken;
        t->pending.len -= taken;
    }
    return used;
}

/* The first `bytes` of what is held were no tag. */
static void give_up(struct template *t, size_t bytes)
{
    t->pending = (struct span){t->held, bytes};
    t->escape = false;
    t->held_bytes = 0;
    t->stage = STAGE_TEXT;
}

static struct span trim(struct span text)
{
    while (text.len > 0 && memchr(" \t\r\n", text.base[0], 4) != NULL) {
        text.base++;
        text.len--;
    }
    while (text.len > 0 && memchr(" \t\r\n", text.base[text.len - 1], 4) != NULL) {
        text.len--;
    }
    return text;
}

/* The tag is complete. */
static void substitute(struct template *t)
{
    struct span key = trim((struct span){t->held + t->key_at, t->close_at - t->key_at});

    give_up(t, 0);
    for (unsigned i = 0; i < t->meta->count && !is_reserved(key); i++) {
        if (span_equal(t->meta->items[i].name, key)) {
            t->pending = t->meta->items[i].value;
            t->escape = !t->raw;
        }
    }
}

/* ---- what comes in ---- */

static void begin(struct template *t)
{
    t->held[0] = '<';
    t->held_bytes = 1;
    t->matched = 1;
    t->stage = STAGE_OPEN;
    t->raw = false;
}

/* Between `<zs-meta` and `>`: white space, and once the word raw after some. */
static bool word(struct template *t, char c)
{
    bool inside = t->matched > 0 && t->matched < RAW_WORD.len;

    if (c == '>' && !inside) {
        t->raw = t->matched == RAW_WORD.len;
        t->stage = STAGE_KEY;
        t->key_at = t->held_bytes + 1;
        return true;
    }
    if (memchr(" \t\r\n", c, 4) != NULL) {
        return !inside;
    }
    return t->matched < RAW_WORD.len && c == RAW_WORD.base[t->matched] &&
           t->held_bytes > OPEN_WORD.len && ++t->matched > 0;
}

/* False: with `c`, what is held is no tag. */
static bool fits(struct template *t, char c)
{
    switch (t->stage) {
    case STAGE_OPEN:
        if (c != OPEN_WORD.base[t->matched]) {
            return false;
        }
        if (++t->matched == OPEN_WORD.len) {
            t->stage = STAGE_WORD;
            t->matched = 0;
        }
        return true;
    case STAGE_WORD: return word(t, c);
    case STAGE_KEY:
        if (c == '<') {
            t->stage = STAGE_CLOSE;
            t->close_at = t->held_bytes;
            t->matched = 1;
        }
        return true;
    case STAGE_CLOSE: return c == CLOSE_WORD.base[t->matched++];
    case STAGE_TEXT: break;
    }
    return false;
}

/* One byte while something is held. False: it is to be looked at again. */
static bool hold(struct template *t, char c)
{
    bool closing = t->stage == STAGE_CLOSE;

    if (t->held_bytes == sizeof t->held || !fits(t, c)) {
        /* The '<' that did not begin the end may begin another tag. */
        bool again = closing && t->held_bytes == t->close_at + 1 && c != '<';

        give_up(t, again ? t->held_bytes - 1 : t->held_bytes);
        t->reopen = again;
        return false;
    }
    t->held[t->held_bytes++] = c;
    if (t->stage == STAGE_CLOSE && t->matched == CLOSE_WORD.len) {
        substitute(t);
    }
    return true;
}

/* Text goes out as it comes, up to the next '<'. */
static size_t copy_text(struct template *t, struct span *in, char *out, size_t room)
{
    const char *tag = memchr(in->base, '<', in->len);
    size_t bytes = tag == NULL ? in->len : (size_t)(tag - in->base);

    if (bytes == 0) {
        in->base++;
        in->len--;
        begin(t);
        return 0;
    }
    bytes = bytes < room ? bytes : room;
    memcpy(out, in->base, bytes);
    in->base += bytes;
    in->len -= bytes;
    return bytes;
}

size_t template_run(struct template *t, struct span *in, bool last, char *out, size_t room)
{
    size_t used = 0;

    assert(room >= TEMPLATE_ROOM_MIN);
    for (;;) {
        used += flush(t, out + used, room - used);
        if (t->pending.len > 0) {
            return used;
        }
        if (t->reopen) {
            t->reopen = false;
            begin(t);
        }
        if (in->len == 0) {
            if (!last || t->held_bytes == 0) {
                return used;
            }
            give_up(t, t->held_bytes);
        } else if (t->stage != STAGE_TEXT) {
            if (hold(t, in->base[0])) {
                in->base++;
                in->len--;
            }
        } else if (used == room) {
            return used;
        } else {
            used += copy_text(t, in, out + used, room - used);
        }
    }
}

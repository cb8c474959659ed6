/* SPDX-License-Identifier: Apache-2.0 */
/* See server/encoding.h. Weights are thousandths, so that all of them are whole numbers. */
#include "server/encoding.h"

#include "server/chars.h"

/* clang-format off */
const struct encoding_row encoding_rows[ENCODINGS] = {
    [ENCODING_IDENTITY] = {{"identity", 8}, {"", 0}},
    [ENCODING_GZIP]     = {{"gzip", 4},     {".gz", 3}},
    [ENCODING_ZSTD]     = {{"zstd", 4},     {".zst", 4}},
    [ENCODING_BR]       = {{"br", 2},       {".br", 3}},
};
/* clang-format on */

enum {
    WEIGHT_ONE = 1000,
    WEIGHT_UNSET = -1,
    /* Identity is acceptable without being named, but less so than anything that is. */
    WEIGHT_UNNAMED = 1,
};

struct weights {
    int of[ENCODINGS];
    int others; /* `*` */
};

/* Takes what is before the first `end` off the front of `rest`, and the `end`. */
static struct span take_until(struct span *rest, char end)
{
    const char *found = rest->len > 0 ? memchr(rest->base, end, rest->len) : NULL;
    size_t bytes = found != NULL ? (size_t)(found - rest->base) : rest->len;
    size_t taken = bytes + (found != NULL);
    struct span piece = {rest->base, bytes};
    rest->base += taken;
    rest->len -= taken;
    return chars_trim(piece);
}

/* qvalue of 12.4.2: 0 to 1 with up to three decimals, as thousandths. */
static bool parse_qvalue(struct span text, int *weight)
{
    if (text.len == 0 || text.len > 5 || (text.base[0] != '0' && text.base[0] != '1') ||
        (text.len > 1 && text.base[1] != '.')) {
        return false;
    }
    int value = (text.base[0] - '0') * WEIGHT_ONE;
    int unit = WEIGHT_ONE / 10;
    for (size_t i = 2; i < text.len; i++, unit /= 10) {
        if (text.base[i] < '0' || text.base[i] > '9') {
            return false;
        }
        value += (text.base[i] - '0') * unit;
    }
    *weight = value;
    return value <= WEIGHT_ONE;
}

/* The weight behind a coding: nothing, or "q=" and a number. */
static bool parse_weight(struct span text, int *weight)
{
    *weight = WEIGHT_ONE;
    if (text.len == 0) {
        return true;
    }
    return text.len > 2 && ascii_lower(text.base[0]) == 'q' && text.base[1] == '=' &&
           parse_qvalue((struct span){text.base + 2, text.len - 2}, weight);
}

static int *weight_of(struct weights *weights, struct span name)
{
    if (span_equal(name, SPAN("*"))) {
        return &weights->others;
    }
    if (span_equal_nocase(name, SPAN("x-gzip"))) { /* the same coding, 8.4.1.3 */
        return &weights->of[ENCODING_GZIP];
    }
    for (unsigned i = 0; i < ENCODINGS; i++) {
        if (span_equal_nocase(name, encoding_rows[i].name)) {
            return &weights->of[i];
        }
    }
    return NULL;
}

/* One field line. Of what is named twice the last counts. */
static void read_list(struct span list, struct weights *weights)
{
    while (list.len > 0) {
        struct span member = take_until(&list, ',');
        bool weighted = member.len > 0 && memchr(member.base, ';', member.len) != NULL;
        int *weight = weight_of(weights, take_until(&member, ';'));
        int value;
        if (weight != NULL && (!weighted || member.len > 0) &&
            parse_weight(chars_trim(member), &value)) {
            *weight = value;
        }
    }
}

/* False: the request has no Accept-Encoding. */
static bool read_fields(const struct field_list *fields, struct weights *weights)
{
    bool present = false;
    for (unsigned i = 0; i < fields->count; i++) {
        if (span_equal_nocase(fields->items[i].name, SPAN("accept-encoding"))) {
            present = true;
            read_list(fields->items[i].value, weights);
        }
    }
    return present;
}

static int effective(const struct weights *weights, unsigned encoding)
{
    if (weights->of[encoding] != WEIGHT_UNSET) {
        return weights->of[encoding];
    }
    if (weights->others != WEIGHT_UNSET) {
        return weights->others;
    }
    return encoding == ENCODING_IDENTITY ? WEIGHT_UNNAMED : 0;
}

enum encoding encoding_select(const struct field_list *fields, unsigned available)
{
    struct weights weights = {.others = WEIGHT_UNSET};
    for (unsigned i = 0; i < ENCODINGS; i++) {
        weights.of[i] = WEIGHT_UNSET;
    }
    if (!read_fields(fields, &weights) && (available & ENCODING_BIT(ENCODING_IDENTITY)) != 0) {
        return ENCODING_IDENTITY;
    }
    enum encoding best = ENCODINGS;
    int best_weight = 0;
    for (unsigned i = ENCODINGS; i-- > 0;) {
        int weight = effective(&weights, i);
        if ((available & ENCODING_BIT(i)) != 0 && weight > best_weight) {
            best = (enum encoding)i;
            best_weight = weight;
        }
    }
    return best;
}

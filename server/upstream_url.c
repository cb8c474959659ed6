/* SPDX-License-Identifier: Apache-2.0 */
/* Parses the targets that zs_reverse_proxy gets. Scripts may build them from what clients send, so
 * what is not plainly one of the three forms is refused. */
#include "server/upstream_url.h"

#include <assert.h>
#include <sys/un.h>

#include "server/chars.h"
#include "server/cidr.h"
#include "server/siphash.h"

enum {
    HOST_BYTES_MAX = 253, /* of a name, RFC 1035 3.1 without the length octets */
    PORT_HTTP = 80,
    PORT_HTTPS = 443,
    PORT_MAX = 65535,
};

_Static_assert(LIM_UPSTREAM_KEY_BYTES >= sizeof "https://:65535" + HOST_BYTES_MAX,
               "a key has room for the longest host");
_Static_assert(LIM_UPSTREAM_KEY_BYTES >= sizeof "unix/" + sizeof((struct sockaddr_un *)0)->sun_path,
               "a key has room for the longest path");

static bool starts_nocase(struct span text, struct span prefix)
{
    return text.len >= prefix.len &&
           span_equal_nocase((struct span){text.base, prefix.len}, prefix);
}

static struct span behind(struct span text, size_t bytes)
{
    return (struct span){text.base + bytes, text.len - bytes};
}

static bool is_ipv6(struct span text)
{
    struct address address;
    return text.len > 0 && memchr(text.base, ':', text.len) != NULL &&
           address_parse(text, &address);
}

/* Whether resolvers take it, whose octets do. */
static bool is_name(struct span text)
{
    return text.len > 0 && text.len <= HOST_BYTES_MAX && text.base[0] != '.' && text.base[0] != '-';
}

static bool ends_authority(char c)
{
    return c == '/' || c == '?' || c == '#';
}

/* The host at the beginning of the text; *end is where it ends. */
static const char *parse_host(struct span text, struct upstream_url *url, size_t *end)
{
    size_t at = 0;
    if (text.len > 0 && text.base[0] == '[') {
        const char *close = memchr(text.base, ']', text.len);
        at = close != NULL ? (size_t)(close - text.base) + 1 : 0;
        url->host = (struct span){text.base + 1, at > 0 ? at - 2 : 0};
        *end = at;
        return is_ipv6(url->host) ? NULL : "malformed IPv6 address";
    }
    while (at < text.len && char_is(text.base[at], CHAR_NAME)) {
        at++;
    }
    url->host = (struct span){text.base, at};
    *end = at;
    return is_name(url->host) ? NULL : "malformed host";
}

/* The port behind the colon at *end, which moves behind it. An empty one, as in "host:", means the
 * default (RFC 3986 6.2.3). */
static const char *parse_port(struct span text, uint16_t *port, size_t *end)
{
    uint64_t value = *port;
    size_t first = *end + 1;
    size_t at = first;
    while (at < text.len && !ends_authority(text.base[at])) {
        at++;
    }
    *end = at;
    struct span digits = {text.base + first, at - first};
    if (digits.len > 0 && !chars_number(digits, PORT_MAX, &value)) {
        return "malformed port";
    }
    if (value == 0) {
        return "port 0";
    }
    *port = (uint16_t)value;
    return NULL;
}

static bool names_user(struct span text)
{
    for (size_t i = 0; i < text.len && !ends_authority(text.base[i]); i++) {
        if (text.base[i] == '@') {
            return true;
        }
    }
    return false;
}

/* Parses the authority at the beginning of the text; *end is where it ends. */
static const char *parse_authority(struct span text, struct upstream_url *url, size_t *end)
{
    const char *reason = parse_host(text, url, end);
    if (reason == NULL && *end < text.len && text.base[*end] == ':') {
        reason = parse_port(text, &url->port, end);
    } else if (reason == NULL && *end < text.len && !ends_authority(text.base[*end])) {
        reason = "malformed host";
    }
    url->authority = (struct span){text.base, *end};
    return reason != NULL && names_user(text) ? "user names in URLs are not supported" : reason;
}

static const char *parse_base(struct span text, struct upstream_url *url)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.base[i];
        if (c == '?' || c == '#') {
            return "a query or fragment has no place in an upstream";
        }
        if (!char_is(c, CHAR_TARGET) ||
            (c == '%' && (text.len - i < 3 || char_hex(text.base[i + 1]) < 0 ||
                          char_hex(text.base[i + 2]) < 0))) {
            return "bad character in path";
        }
    }
    while (text.len > 0 && text.base[text.len - 1] == '/') {
        text.len--;
    }
    url->base = text;
    return NULL;
}

static const char *parse_unix(struct span path, struct upstream_url *url)
{
    *url = (struct upstream_url){.scheme = UPSTREAM_UNIX, .path = path};
    if (path.len == 0) {
        return "no path of a socket";
    }
    if (path.len >= sizeof((struct sockaddr_un *)0)->sun_path) {
        return "path of a socket is too long";
    }
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.base[i];
        if (c < ' ' || c == 0x7f) {
            return "bad character in path";
        }
    }
    return NULL;
}

const char *upstream_url_parse(struct span text, struct upstream_url *url)
{
    const struct span http = SPAN("http://"), https = SPAN("https://"), socket = SPAN("unix/");
    *url = (struct upstream_url){.scheme = UPSTREAM_HTTP, .port = PORT_HTTP};
    if (text.len == 0) {
        return "empty";
    }
    if (starts_nocase(text, socket)) {
        return parse_unix(behind(text, socket.len), url);
    }
    size_t start = http.len;
    if (starts_nocase(text, https)) {
        start = https.len;
        url->scheme = UPSTREAM_HTTPS;
        url->port = PORT_HTTPS;
    } else if (!starts_nocase(text, http)) {
        return "want http://, https:// or unix/";
    }
    struct span rest = behind(text, start);
    size_t end;
    const char *reason = parse_authority(rest, url, &end);
    return reason != NULL ? reason : parse_base(behind(rest, end), url);
}

unsigned upstream_list_parse(struct span text, struct upstream_url urls[LIM_UPSTREAM_TARGETS],
                             const char **reason, struct span *culprit)
{
    unsigned count = 0;
    *culprit = SPAN("");
    if (text.len > LIM_UPSTREAM_LIST_BYTES) {
        *reason = "list is too long";
        return 0;
    }
    for (bool more = true; more;) {
        const char *comma = text.len > 0 ? memchr(text.base, ',', text.len) : NULL;
        size_t bytes = comma != NULL ? (size_t)(comma - text.base) : text.len;
        struct span entry = chars_trim((struct span){text.base, bytes});
        *culprit = entry;
        if (count == LIM_UPSTREAM_TARGETS) {
            *reason = "too many upstreams";
            return 0;
        }
        *reason = upstream_url_parse(entry, &urls[count++]);
        if (*reason != NULL) {
            return 0;
        }
        more = comma != NULL;
        text = more ? behind(text, bytes + 1) : text;
    }
    return count;
}

/* The same in all workers and after a restart, so without a secret. */
uint64_t upstream_hash(struct span text)
{
    static const uint64_t no_secret[2] = {0, 0};
    return siphash(no_secret, text);
}

const char *upstream_prefix(enum upstream_scheme scheme)
{
    static const char *const prefixes[] = {
        [UPSTREAM_HTTP] = "http://", [UPSTREAM_HTTPS] = "https://", [UPSTREAM_UNIX] = "unix/"};

    return prefixes[scheme];
}

size_t upstream_url_key(const struct upstream_url *url, char key[LIM_UPSTREAM_KEY_BYTES])
{
    const char *prefix = upstream_prefix(url->scheme);
    size_t at = strlen(prefix);
    memcpy(key, prefix, at);
    if (url->scheme == UPSTREAM_UNIX) {
        memcpy(key + at, url->path.base, url->path.len);
        return at + url->path.len;
    }
    at = (size_t)(span_put_lower(key + at, url->host) - key);
    assert(at + 6 <= LIM_UPSTREAM_KEY_BYTES);
    key[at++] = ':';
    return (size_t)(char_put_decimal(key + at, url->port) - key);
}

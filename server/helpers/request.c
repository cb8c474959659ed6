/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that read the request. They see it as the scripts before have left it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "server/helpers/helpers.h"

uint64_t host_zs_req_method(struct vm_context *context, const struct vm_arg arg[5])
{
    return helper_text_out(&arg[0], helper_exchange(context)->method);
}

uint64_t host_zs_req_path(struct vm_context *context, const struct vm_arg arg[5])
{
    return helper_text_out(&arg[0], helper_exchange(context)->path);
}

uint64_t host_zs_req_normalized_path(struct vm_context *context, const struct vm_arg arg[5])
{
    return helper_text_out(&arg[0], helper_exchange(context)->path);
}

uint64_t host_zs_req_raw_path(struct vm_context *context, const struct vm_arg arg[5])
{
    return helper_text_out(&arg[0], helper_exchange(context)->raw_path);
}

uint64_t host_zs_req_query(struct vm_context *context, const struct vm_arg arg[5])
{
    return helper_text_out(&arg[0], helper_exchange(context)->query);
}

/* The path as sent: a URI is made of encoded text. */
uint64_t host_zs_req_uri(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct exchange *ex = helper_exchange(context);
    struct helper_out out = helper_out(&arg[0]);

    helper_put(&out, ex->raw_path);
    if (ex->query.len > 0) {
        helper_put(&out, SPAN("?"));
        helper_put(&out, ex->query);
    }
    return helper_end(&out);
}

uint64_t host_zs_req_scheme(struct vm_context *context, const struct vm_arg arg[5])
{
    return helper_text_out(&arg[0], helper_exchange(context)->scheme);
}

uint64_t host_zs_req_proto_major(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)arg;
    return helper_exchange(context)->proto_major;
}

uint64_t host_zs_req_proto_minor(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)arg;
    return helper_exchange(context)->proto_minor;
}

uint64_t host_zs_req_is_tls(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)arg;
    return helper_exchange(context)->is_tls;
}

/* ---- addresses ---- */

#define ADDRESS_BYTES (INET6_ADDRSTRLEN + sizeof "[]:65535")

/* Text of the peer's address; empty for what is neither IPv4 nor IPv6. IPv4 that came through an
 * IPv6 socket is written as IPv4, so that rules see one form. */
static struct span peer_text(const struct sockaddr_storage *peer, bool with_port,
                             char text[ADDRESS_BYTES])
{
    const struct sockaddr_in *v4 = (const void *)peer;
    const struct sockaddr_in6 *v6 = (const void *)peer;
    char ip[INET6_ADDRSTRLEN] = "";
    bool is_v6 = peer->ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
    unsigned port;
    int length;

    if (peer->ss_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip);
        port = ntohs(v4->sin_port);
    } else if (peer->ss_family == AF_INET6) {
        const void *address = is_v6 ? v6->sin6_addr.s6_addr : v6->sin6_addr.s6_addr + 12;

        inet_ntop(is_v6 ? AF_INET6 : AF_INET, address, ip, sizeof ip);
        port = ntohs(v6->sin6_port);
    } else {
        return SPAN("");
    }
    if (with_port) {
        length = snprintf(text, ADDRESS_BYTES, is_v6 ? "[%s]:%u" : "%s:%u", ip, port);
    } else {
        length = snprintf(text, ADDRESS_BYTES, "%s", ip);
    }
    return (struct span){text, (size_t)length};
}

uint64_t host_zs_req_peer(struct vm_context *context, const struct vm_arg arg[5])
{
    char text[ADDRESS_BYTES];

    return helper_text_out(&arg[0], peer_text(&helper_exchange(context)->peer, true, text));
}

uint64_t host_zs_req_peer_ip(struct vm_context *context, const struct vm_arg arg[5])
{
    char text[ADDRESS_BYTES];

    return helper_text_out(&arg[0], peer_text(&helper_exchange(context)->peer, false, text));
}

/* No proxy is trusted, so the client is the peer. */
uint64_t host_zs_req_client_ip(struct vm_context *context, const struct vm_arg arg[5])
{
    return host_zs_req_peer_ip(context, arg);
}

/* ---- fields and parameters ---- */

uint64_t host_zs_req_header(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct exchange *ex = helper_exchange(context);
    const struct field *field = field_find(&ex->request_fields, helper_name(context, &arg[0]));

    return helper_text_out(&arg[2], field == NULL ? SPAN("") : field->value);
}

/* Takes the next `name=value` off *query. False at the end. */
static bool next_parameter(struct span *query, struct span *name, struct span *value)
{
    const char *end;
    const char *equals;

    if (query->len == 0) {
        return false;
    }
    end = memchr(query->base, '&', query->len);
    *name = (struct span){query->base, end == NULL ? query->len : (size_t)(end - query->base)};
    query->base += name->len;
    query->len -= name->len;
    if (end != NULL) {
        query->base++;
        query->len--;
    }
    *value = (struct span){"", 0};
    equals = name->len == 0 ? NULL : memchr(name->base, '=', name->len);
    if (equals != NULL) {
        *value = (struct span){equals + 1, name->len - (size_t)(equals - name->base) - 1};
        name->len = (size_t)(equals - name->base);
    }
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes the next byte off form-encoded text that is not empty. A '%' that starts no escape stands
 * for itself, as in browsers. */
static char next_decoded(struct span *text)
{
    char c = text->base[0];
    int high = text->len > 2 ? hex_digit(text->base[1]) : -1;
    int low = text->len > 2 ? hex_digit(text->base[2]) : -1;
    size_t taken = 1;

    if (c == '+') {
        c = ' ';
    } else if (c == '%' && high >= 0 && low >= 0) {
        c = (char)(high * 16 + low);
        taken = 3;
    }
    text->base += taken;
    text->len -= taken;
    return c;
}

static bool decodes_to(struct span encoded, struct span text)
{
    size_t i = 0;

    while (encoded.len > 0) {
        if (i == text.len || next_decoded(&encoded) != text.base[i]) {
            return false;
        }
        i++;
    }
    return i == text.len;
}

uint64_t host_zs_req_query_param(struct vm_context *context, const struct vm_arg arg[5])
{
    struct span query = helper_exchange(context)->query;
    struct span wanted = helper_name(context, &arg[0]);
    struct helper_out out = helper_out(&arg[2]);
    struct span name;
    struct span value;

    while (next_parameter(&query, &name, &value)) {
        if (!decodes_to(name, wanted)) {
            continue;
        }
        while (value.len > 0) {
            char c = next_decoded(&value);

            helper_put(&out, (struct span){&c, 1});
        }
        break;
    }
    return helper_end(&out);
}

uint64_t host_zs_req_query_param_matches(struct vm_context *context, const struct vm_arg arg[5])
{
    struct span query = helper_exchange(context)->query;
    struct span wanted = helper_name(context, &arg[0]);
    struct span match = helper_text(context, &arg[2]);
    bool any = span_equal(match, SPAN("*"));
    struct span name;
    struct span value;

    while (next_parameter(&query, &name, &value)) {
        if (decodes_to(name, wanted) && (any || decodes_to(value, match))) {
            return 1;
        }
    }
    return 0;
}

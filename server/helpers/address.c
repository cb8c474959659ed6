/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers about who asks. The peer is the other end of the connection; the client is whom it asks
 * for, when it is a proxy the operator trusts. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "server/helpers/json.h"
#include "server/helpers/shared.h"

#define PEER_TEXT_BYTES (ADDRESS_TEXT_BYTES + sizeof "[]:65535")

static in_port_t port_of(const union peer_address *peer)
{
    return ntohs(peer->any.sa_family == AF_INET ? peer->v4.sin_port : peer->v6.sin6_port);
}

/* Empty when the peer has no address of the Internet. */
uint64_t host_zs_req_peer(struct vm_context *context, const struct vm_arg arg[5])
{
    const union peer_address *peer = &helper_exchange(context)->peer;
    char text[PEER_TEXT_BYTES];
    char ip[ADDRESS_TEXT_BYTES];
    struct address address;
    int length = 0;

    if (address_of(peer, &address)) {
        (void)address_format(&address, ip);
        length = snprintf(text, sizeof text, address.v4 ? "%s:%u" : "[%s]:%u", ip, port_of(peer));
    }
    return helper_text_out(&arg[0], (struct span){text, (size_t)length});
}

static uint64_t put_address(const struct vm_arg *out, const struct address *address)
{
    char text[ADDRESS_TEXT_BYTES];

    return helper_text_out(out, (struct span){text, address_format(address, text)});
}

uint64_t host_zs_req_peer_ip(struct vm_context *context, const struct vm_arg arg[5])
{
    struct address address;

    if (!address_of(&helper_exchange(context)->peer, &address)) {
        return helper_text_out(&arg[0], SPAN(""));
    }
    return put_address(&arg[0], &address);
}

/* ---- the client ---- */

static bool is_trusted(const struct helper_shared *shared, const struct address *address)
{
    for (unsigned i = 0; i < shared->trusted_count; i++) {
        if (cidr_contains(&shared->trusted[i], address)) {
            return true;
        }
    }
    return false;
}

/* Takes the last element off a list that commas part. False: nothing is left. */
static bool take_last(struct span *list, struct span *element)
{
    const char *comma = list->len == 0 ? NULL : memrchr(list->base, ',', list->len);
    size_t start = comma == NULL ? 0 : (size_t)(comma - list->base) + 1;

    if (list->base == NULL) {
        return false;
    }
    *element = helper_trim((struct span){list->base + start, list->len - start}, " \t");
    *list = comma == NULL ? (struct span){NULL, 0} : (struct span){list->base, start - 1};
    return true;
}

/* What proxies write: an address, with a port at times, an IPv6 one in brackets at times. */
static bool parse_hop(struct span text, struct address *out)
{
    const char *end = NULL;

    if (text.len > 0 && text.base[0] == '[') {
        end = memchr(text.base, ']', text.len);
        return end != NULL &&
               address_parse((struct span){text.base + 1, (size_t)(end - text.base) - 1}, out);
    }
    if (address_parse(text, out)) {
        return true;
    }
    end = text.len == 0 ? NULL : memchr(text.base, ':', text.len);
    return end != NULL && address_parse((struct span){text.base, (size_t)(end - text.base)}, out);
}

/* From the nearest hop to the farthest, for as long as a trusted proxy tells who came before. What
 * clients wrote themselves stands to the left and is never reached. */
static void find_client(const struct helper_shared *shared, const struct exchange *ex,
                        struct address *client)
{
    for (unsigned i = ex->request_fields.count; i-- > 0;) {
        const struct field *field = &ex->request_fields.items[i];
        struct span list = field->value;
        struct span element;
        struct address hop;

        if (!span_equal_nocase(field->name, SPAN("x-forwarded-for"))) {
            continue;
        }
        while (take_last(&list, &element)) {
            if (!is_trusted(shared, client) || !parse_hop(element, &hop)) {
                return;
            }
            *client = hop;
        }
    }
}

uint64_t host_zs_req_client_ip(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct helper_state *state = helper_state(context);
    struct address client;

    if (!address_of(&state->ex->peer, &client)) {
        return helper_text_out(&arg[0], SPAN(""));
    }
    find_client(state->shared, state->ex, &client);
    return put_address(&arg[0], &client);
}

/* ---- matching ---- */

enum match { MATCH_NO, MATCH_YES, MATCH_MALFORMED };

static enum match match_all(const json_t *ranges, const struct address *peer)
{
    enum match result = json_is_array(ranges) ? MATCH_NO : MATCH_MALFORMED;
    size_t index;
    json_t *item;

    json_array_foreach(ranges, index, item)
    {
        struct span text = {json_string_value(item), json_string_length(item)};
        struct cidr cidr;

        if (!json_is_string(item) || !cidr_parse(text, &cidr)) {
            return MATCH_MALFORMED;
        }
        if (peer != NULL && cidr_contains(&cidr, peer)) {
            result = MATCH_YES;
        }
    }
    return result;
}

/* A rule that cannot be read could be meant to let in or to keep out: it ends the script. */
uint64_t host_zs_req_remote_ip_matches(struct vm_context *context, const struct vm_arg arg[5])
{
    struct address peer;
    bool known = address_of(&helper_exchange(context)->peer, &peer);
    enum match result;
    json_t *ranges;

    (void)json_open(context);
    ranges = json_read(&arg[0]);
    result = match_all(ranges, known ? &peer : NULL);
    json_decref(ranges);
    json_close(context);
    if (result == MATCH_MALFORMED) {
        vm_helper_fault(context, "want a JSON array of addresses and networks");
    }
    return result == MATCH_YES;
}

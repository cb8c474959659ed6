/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers about the connection that a request came by. */
#include "server/helpers/json.h"

uint64_t host_zs_req_tls_handshake_complete(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct exchange *ex = helper_exchange(context);

    (void)arg;
    return ex->is_tls && ex->connection.handshake_complete;
}

/* Opened. A text, or null when it is empty. */
static json_t *text_or_null(struct span text)
{
    return text.len == 0 ? json_null() : json_stringn(text.base, text.len);
}

/* No client is asked for a certificate, and nobody hides the name of the host, so these are null,
 * at the places where scripts look for them. */
uint64_t host_zs_connection_info(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct exchange *ex = helper_exchange(context);
    const struct connection_info *c = &ex->connection;
    struct json_handle *handle = json_free_handle(context);

    (void)arg;
    (void)json_open(context);
    return json_new_document(
        context, handle,
        json_pack("{s:b, s:b, s:o, s:{s:o, s:n}, s:n, s:{s:o}, s:{s:n, s:[]}, s:o, s:o}", "tls",
                  ex->is_tls, "tls_handshake_complete", ex->is_tls && c->handshake_complete, "alpn",
                  text_or_null(c->alpn), "sni", "inner", text_or_null(c->sni), "outer", "ech",
                  "fingerprint", "ja4", text_or_null(c->ja4), "tls_client", "certificate",
                  "chain_fingerprints_sha256", "version", text_or_null(c->version), "cipher",
                  text_or_null(c->cipher)));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of WebSocket handshakes. */
#include "server/websocket.h"

#include <criterion/criterion.h>
#include <string.h>

Test(websocket, what_the_rfc_shows)
{
    const char *key = "dGhlIHNhbXBsZSBub25jZQ=="; /* RFC 6455 1.3 */
    cr_expect(websocket_accepts(key, SPAN("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    cr_expect_not(websocket_accepts(key, SPAN("s3pPLMBiTxaQ9kYGzzhZRbK+xOp=")));
    cr_expect_not(websocket_accepts(key, SPAN("s3pPLMBiTxaQ9kYGzzhZRbK+xOo")));
    cr_expect_not(websocket_accepts(key, SPAN("")));
}

Test(websocket, keys_differ)
{
    char one[WEBSOCKET_KEY_BYTES];
    char other[WEBSOCKET_KEY_BYTES];
    cr_assert(websocket_make_key(one));
    cr_assert(websocket_make_key(other));
    cr_expect_neq(memcmp(one, other, sizeof one), 0);
    cr_expect_eq(memcmp(one + WEBSOCKET_KEY_BYTES - 2, "==", 2), 0, "16 octets");
}

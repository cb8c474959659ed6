/* SPDX-License-Identifier: Apache-2.0 */
/* The key proves nothing but that the other side speaks WebSocket, so SHA-1 is strong enough. */
#include "server/websocket.h"

#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>

enum {
    NONCE_BYTES = 16,
    DIGEST_BYTES = 20,
    ACCEPT_BYTES = 28,
};

#define SUFFIX "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 1.3 */

bool websocket_make_key(char key[WEBSOCKET_KEY_BYTES])
{
    unsigned char nonce[NONCE_BYTES];
    unsigned char text[WEBSOCKET_KEY_BYTES + 1]; /* EVP_EncodeBlock ends it with a NUL */
    if (getrandom(nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce) {
        return false;
    }
    EVP_EncodeBlock(text, nonce, NONCE_BYTES);
    memcpy(key, text, WEBSOCKET_KEY_BYTES);
    return true;
}

bool websocket_accepts(const char key[WEBSOCKET_KEY_BYTES], struct span accept)
{
    char keyed[WEBSOCKET_KEY_BYTES + sizeof SUFFIX - 1];
    unsigned char digest[DIGEST_BYTES];
    unsigned char text[ACCEPT_BYTES + 1];
    memcpy(keyed, key, WEBSOCKET_KEY_BYTES);
    memcpy(keyed + WEBSOCKET_KEY_BYTES, SUFFIX, sizeof SUFFIX - 1);
    if (EVP_Digest(keyed, sizeof keyed, digest, NULL, EVP_sha1(), NULL) != 1) {
        return false;
    }
    EVP_EncodeBlock(text, digest, DIGEST_BYTES);
    return span_equal(accept, (struct span){(const char *)text, ACCEPT_BYTES});
}

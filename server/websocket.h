/* SPDX-License-Identifier: Apache-2.0 */
/* The opening handshake of WebSocket (RFC 6455 4.1), as its client: a key, and what a server that
 * understood it makes of it. */
#ifndef SERVER_WEBSOCKET_H
#define SERVER_WEBSOCKET_H

#include <stdbool.h>

#include "server/span.h"

enum { WEBSOCKET_KEY_BYTES = 24 }; /* 16 octets in base64 */

/* Makes a new key for Sec-WebSocket-Key. False: no random numbers. */
bool websocket_make_key(char key[WEBSOCKET_KEY_BYTES]);
/* Whether `accept`, a Sec-WebSocket-Accept, belongs to the key. */
bool websocket_accepts(const char key[WEBSOCKET_KEY_BYTES], struct span accept);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* JA4: a name for the software behind a ClientHello, made of what it offers, in the form
 * t13d1516h2_8daaf6152771_e5627efa2ab1 (FoxIO, JA4 for TLS over TCP): version, whether it names a
 * server, how many ciphers and extensions, the first ALPN protocol; a hash of its ciphers, sorted;
 * a hash of its extensions, sorted, and of its signature algorithms in its order. GREASE values
 * (RFC 8701) do not count. */
#ifndef SERVER_JA4_H
#define SERVER_JA4_H

#include "server/span.h"

enum { JA4_BYTES = 37 }; /* with the NUL */

/* `hello` is the body of the message, from legacy_version on. False, and "" in `text`: it is not
 * well-formed, or longer lists than any client sends. */
bool ja4_fingerprint(struct span hello, char text[JA4_BYTES]);

#endif

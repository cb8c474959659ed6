/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of the PROXY protocol, arriving byte by byte: more is asked for until the answer is
 * known, the first answer stays the answer, and no header is longer than its limit or than what
 * was received. */
#include "fuzz/fuzz.h"

#include <stdbool.h>
#include <stdlib.h>

#include "server/limits.h"
#include "server/proxy_protocol.h"

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum proxy_result answer = PROXY_MORE;
    struct proxy_header first = {0};
    size_t end = size < LIM_PROXY_HEADER_BYTES + 8 ? size : LIM_PROXY_HEADER_BYTES + 8;
    for (size_t bytes = 0; bytes <= end; bytes++) {
        struct proxy_header header;
        enum proxy_result result = proxy_parse((struct span){(const char *)data, bytes}, &header);
        if (answer != PROXY_MORE) {
            must(result == answer);
            must(result == PROXY_BAD || memcmp(&header, &first, sizeof header) == 0);
        } else if (result == PROXY_DONE) {
            must(header.bytes == bytes && bytes <= LIM_PROXY_HEADER_BYTES);
            int family = header.source.any.sa_family;
            must(family == AF_UNSPEC || family == AF_INET || family == AF_INET6);
            first = header;
        }
        must(result != PROXY_MORE || bytes < LIM_PROXY_HEADER_BYTES);
        answer = result;
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The new version of a service is for those who ask for it by X-Canary, and for 5 of 100 others,
 * always the same ones. */
#include <zeroserve.h>

enum { PERCENT = 5 };

/* A number from 0 to 99 that stays with the client. */
static unsigned bucket(void)
{
    zs_u8 hash[32];
    char client[64];

    zs_req_client_ip(client, sizeof client);
    zs_sha256(ZS_STR(client), hash, sizeof hash);
    return (hash[0] << 8 | hash[1]) % 100;
}

ZS_ENTRY zs_u64 entry(void)
{
    char canary[8];
    int wanted;

    zs_req_header(ZS_STR("x-canary"), canary, sizeof canary);
    wanted =
        zs_strcmp(canary, "always") == 0 || (zs_strcmp(canary, "never") != 0 && bucket() < PERCENT);
    zs_req_delete_header(ZS_STR("x-canary"));
    if (wanted)
        zs_reverse_proxy(ZS_STR("http://127.0.0.1:9012"));
    else
        zs_reverse_proxy(ZS_STR("http://127.0.0.1:9011"));
    zs_meta_set(ZS_STR("zs.response.header.x-version"), wanted ? "new" : "old", 3);
    return 0;
}

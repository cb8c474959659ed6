/* SPDX-License-Identifier: Apache-2.0 */
/* The second of three: turns away clients by a header field. */
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    char agent[64];

    zs_req_header(ZS_STR("user-agent"), agent, sizeof agent);
    if (zs_strncmp(agent, "scraper", 7) == 0)
        zs_respond(403, ZS_STR("no\n"));
    return 0;
}

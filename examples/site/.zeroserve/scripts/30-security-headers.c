/* SPDX-License-Identifier: Apache-2.0 */
/* Header fields of every page and file, the 404 page included: what a browser may load from where.
 * Answers of the scripts before this one end the chain, so they go out without. */
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    zs_meta_set(ZS_STR("zs.response.header.content-security-policy"),
                ZS_STR("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                       "connect-src 'self'; base-uri 'none'; form-action 'none'; "
                       "frame-ancestors 'none'"));
    zs_meta_set(ZS_STR("zs.response.header.x-content-type-options"), ZS_STR("nosniff"));
    zs_meta_set(ZS_STR("zs.response.header.x-frame-options"), ZS_STR("DENY"));
    zs_meta_set(ZS_STR("zs.response.header.referrer-policy"),
                ZS_STR("strict-origin-when-cross-origin"));
    return 0;
}

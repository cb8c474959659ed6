/* SPDX-License-Identifier: Apache-2.0 */
/* What browsers are told about every page, file, error and answer of later scripts. */
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    zs_meta_set(ZS_STR("zs.response.header.content-security-policy"),
                ZS_STR("default-src 'self'; frame-ancestors 'none'; base-uri 'none'"));
    zs_meta_set(ZS_STR("zs.response.header.x-content-type-options"), ZS_STR("nosniff"));
    zs_meta_set(ZS_STR("zs.response.header.referrer-policy"), ZS_STR("same-origin"));
    if (zs_req_is_tls())
        zs_meta_set(ZS_STR("zs.response.header.strict-transport-security"),
                    ZS_STR("max-age=31536000"));
    zs_res_delete_header(ZS_STR("x-powered-by")); /* of an application behind the server */
    return 0;
}

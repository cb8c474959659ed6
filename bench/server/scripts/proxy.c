/* SPDX-License-Identifier: Apache-2.0 */
/* Everything is asked of the backend, whose port the benchmark fills in. */
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    zs_reverse_proxy(ZS_STR("http://127.0.0.1:@BACKEND@"));
    return 0;
}

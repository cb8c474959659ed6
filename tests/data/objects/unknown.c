/* SPDX-License-Identifier: Apache-2.0 */
/* Calls what is no helper. */
extern int no_such_helper(int x);

__attribute__((section("test.entry"))) int entry(int x)
{
    return no_such_helper(x);
}

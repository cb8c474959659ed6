/* SPDX-License-Identifier: Apache-2.0 */
/* Calls a helper by a number that means nothing. */
static int (*const numbered)(int x) = (int (*)(int))4711;

__attribute__((section("test.entry"))) int entry(int x)
{
    return numbered(x);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* No section but .text: its global functions are the entries. */
static __attribute__((noinline)) int inner(int x)
{
    return x + 1;
}

int one(int x)
{
    return inner(x);
}

int two(int x)
{
    return inner(x) * 2;
}

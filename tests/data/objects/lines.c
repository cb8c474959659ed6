/* SPDX-License-Identifier: Apache-2.0 */
/* Code in several sections; tests/unit/lines.c knows the numbers of these lines. */
typedef unsigned long long u64;
#define KEPT   __attribute__((noinline))
#define IN(at) __attribute__((section(at)))

static KEPT u64 deep(u64 x)
{
    /* a fault */
    return *(volatile u64 *)8 + x;
}

IN("test.first") u64 first(u64 x)
{
    u64 y = x * 3;
    return deep(y) + 1;
}
IN("test.second") u64 second(u64 x)
{
    return deep(x) * 5;
}

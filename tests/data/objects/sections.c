/* SPDX-License-Identifier: Apache-2.0 */
/* Entries in two sections, a static and a global function shared by both, calls across sections. */
typedef unsigned long long u64;

static __attribute__((noinline)) u64 square(u64 x)
{
    return x * x;
}

__attribute__((noinline)) u64 cube(u64 x)
{
    return square(x) * x;
}

__attribute__((section("test.first"))) u64 first_entry(u64 x)
{
    return cube(x) + square(x);
}

__attribute__((section("test.second"), noinline)) u64 second_helper(u64 x)
{
    return cube(x) + 1;
}

__attribute__((section("test.second"))) u64 second_entry(u64 x)
{
    return second_helper(x) * 2 + square(x + 1);
}

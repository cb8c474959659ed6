/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers by name, twice the same one, and one by number. */
typedef unsigned long long u64;

extern u64 test_sum(u64 a, u64 b);
extern u64 test_length(const char *text);
static u64 (*const test_numbered)(u64 a) = (u64(*)(u64))42;

__attribute__((noinline)) u64 from_text(u64 x)
{
    return test_sum(x, 1);
}

__attribute__((section("test.entry"))) u64 entry(u64 x)
{
    return test_sum(from_text(x), test_length("four")) + test_numbered(x);
}

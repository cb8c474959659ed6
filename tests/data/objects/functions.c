/* SPDX-License-Identifier: Apache-2.0 */
/* Functions by address: from a table in data and from code; a switch large enough for a table. */
typedef unsigned long long u64;
typedef u64 operation(u64 a, u64 b);

static u64 add(u64 a, u64 b)
{
    return a + b;
}

static u64 subtract(u64 a, u64 b)
{
    return a - b;
}

u64 multiply(u64 a, u64 b)
{
    return a * b;
}

operation *operations[] = {add, subtract, multiply};

__attribute__((noinline)) static u64 apply(operation *f, u64 a)
{
    return f(a, 3);
}

__attribute__((section("test.by_table"))) u64 by_table(u64 i)
{
    return operations[i % 3](i, 2);
}

__attribute__((section("test.by_name"))) u64 by_name(u64 i)
{
    return apply(i & 1 ? multiply : add, i);
}

__attribute__((section("test.by_switch"))) u64 by_switch(u64 i)
{
    switch (i) {
    case 0: return 17;
    case 1: return apply(add, 5);
    case 2: return 96;
    case 3: return apply(multiply, 7);
    case 4: return 1;
    case 5: return 1234;
    case 6: return 4321;
    case 7: return 65;
    default: return i + 1;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind of data: strings, tables of pointers, constants, writable and zeroed variables, common
 * symbols, a section of its own, a weak variable that nobody defines. */
typedef unsigned long long u64;

struct item {
    const char *name;
    int *counter;
    u64 weight;
};

static int counters[3];
int start = 7;
int common;
const u64 weights[] = {100, 200, 300};
static char buffer[64];
__attribute__((section("test.mine"))) u64 mine[2] = {11, 22};
extern int missing __attribute__((weak));
int *maybe = &missing;

struct item items[] = {
    {"alpha", &counters[0], 1}, {"beta", &counters[1], 2}, {"gamma", &counters[2], 3}};
const char *const words[] = {"zero", "one", "two", "three"};

__attribute__((section("test.strings"))) u64 strings(u64 i)
{
    const char *text = words[i & 3];
    u64 hash = 0;
    while (*text) {
        hash = hash * 31 + (unsigned char)*text++;
    }
    return hash;
}

__attribute__((section("test.tables"))) u64 tables(u64 i)
{
    struct item *item = &items[i % 3];
    *item->counter += start;
    return item->name[0] * 1000 + *item->counter * 10 + item->weight;
}

__attribute__((section("test.zeros"))) u64 zeros(u64 i)
{
    common += 5;
    buffer[i & 63] += 3;
    counters[1]++;
    return common * 100 + buffer[i & 63] * 10 + counters[1];
}

__attribute__((section("test.others"))) u64 others(u64 i)
{
    mine[1] += i;
    return mine[0] + mine[1] + weights[i % 3] + (maybe ? 1000 : 0) + (&missing ? 2000 : 0);
}

/* A pointer into a global variable that does not begin its section. */
int padding[4] = {1, 2, 3, 4};
int *inside = &padding[3];

__attribute__((section("test.inside"))) u64 pointer_inside(u64 i)
{
    return (u64)*inside + i;
}

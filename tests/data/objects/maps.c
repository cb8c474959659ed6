/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel-style object: a licence, and a map that is used. */
struct map {
    int (*type)[1];
};

char _license[] __attribute__((section("license"))) = "Apache-2.0";
struct map counts __attribute__((section(".maps")));

__attribute__((section("test.uses"))) unsigned long long uses(void)
{
    return (unsigned long long)(long)&counts;
}

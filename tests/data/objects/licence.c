/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel-style object that has a licence and a map and uses neither. */
struct map {
    int (*type)[1];
};

char _license[] __attribute__((section("license"))) = "Apache-2.0";
struct map counts __attribute__((section(".maps")));

__attribute__((section("test.xdp"))) int entry(void)
{
    return 2;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What every program of the benchmark includes. A program is one function `entry`, compiled once
 * for the VM and by two compilers for this machine. Its argument is a small number that no compiler
 * knows, so nothing is folded away; it may change its data, but must return the same each time.
 * Programs are valid C++, too: tests/unit/corpus.c puts them into one file, a namespace each.
 */
#ifndef BENCH_PROGRAMS_PROGRAM_H
#define BENCH_PROGRAMS_PROGRAM_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

#define ENTRY    __attribute__((visibility("default"))) u64
#define NOINLINE __attribute__((noinline))

ENTRY entry(u64 n);

/* The one helper, (a + b) rotated: natively a function of another object file. */
u64 bench_helper(u64 a, u64 b, u64 c, u64 d, u64 e);

/* Tables of f(i), f(i + 1), ... as initializers. Tables are not static: what a variable that others
 * can change holds is not known to a compiler. */
#define TABLE4(f, i)  f(i), f((i) + 1), f((i) + 2), f((i) + 3)
#define TABLE16(f, i) TABLE4(f, i), TABLE4(f, (i) + 4), TABLE4(f, (i) + 8), TABLE4(f, (i) + 12)
#define TABLE64(f, i)                                                                              \
    TABLE16(f, i), TABLE16(f, (i) + 16), TABLE16(f, (i) + 32), TABLE16(f, (i) + 48)
#define TABLE256(f, i)                                                                             \
    TABLE64(f, i), TABLE64(f, (i) + 64), TABLE64(f, (i) + 128), TABLE64(f, (i) + 192)
#define TABLE1024(f, i)                                                                            \
    TABLE256(f, i), TABLE256(f, (i) + 256), TABLE256(f, (i) + 512), TABLE256(f, (i) + 768)

/* A number that looks random. */
#define MIX(i) ((((i) + 1u) * 2654435761u) ^ (((i) + 7u) * 2246822519u) >> 13)

#endif

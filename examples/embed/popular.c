/* SPDX-License-Identifier: Apache-2.0 */
/* A scoring function for score.c: weighted rating and views.
 *
 *     clang -target bpf -mcpu=v3 -O2 -c popular.c
 */
typedef unsigned int u32;
typedef unsigned long long u64;

struct item {
    u32 rating;
    u32 views;
};

extern u64 weight(const char *name, u64 length, u64 *value); /* a helper of score.c; 0: found */

u64 score(const struct item *items, u64 count, u64 *scores)
{
    u64 rating = 1;
    u64 views = 1;

    weight("rating", 6, &rating);
    weight("views", 5, &views);
    for (u64 i = 0; i < count; i++) {
        scores[i] = rating * items[i].rating + views * items[i].views;
    }
    return 0;
}

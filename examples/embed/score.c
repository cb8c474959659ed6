/* SPDX-License-Identifier: Apache-2.0 */
/* Scores a large array with a function that a user supplied, a batch at a time: one run for each
 * BATCH items, so that the cost of a run is shared by many, and one processor budget for all. The
 * function is
 *
 *     unsigned long long score(const struct item *items, unsigned long long count,
 *                              unsigned long long *scores)
 *
 * It asks for the weights it likes by name, with the helper `weight`.
 *
 *     cc -o score score.c $(pkg-config --cflags --libs zsvm)
 *     clang -target bpf -mcpu=v3 -O2 -c popular.c
 *     ./score popular.o
 */
#include <string.h>

#include "jit-x86_64/jit.h"
#include "load.h"

#define ITEMS     10000u
#define BATCH     1000u
#define BUDGET_NS 200000000ull

struct item {
    uint32_t rating;
    uint32_t views;
};

struct weight {
    const char *name;
    uint64_t value;
};

static const struct weight weights[] = {{"rating", 30}, {"views", 2}};

/* u64 weight(const char *name, u64 length, u64 *value): 0 if there is one of that name. The kinds
 * in the table below say what each register is; the helper gets spans that are safe to touch. */
static uint64_t weight(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        if (arg[0].length == strlen(weights[i].name) &&
            memcmp(arg[0].data, weights[i].name, arg[0].length) == 0) {
            memcpy(arg[2].data, &weights[i].value, sizeof weights[i].value);
            return 0;
        }
    }
    return 1;
}

static const struct vm_helper helper[] = {
    {.name = "weight", .fn = weight, .kind = {VM_ARG_READ, VM_ARG_LENGTH, VM_ARG_WRITE8}},
};
static const struct ld_helpers helpers = {.helpers = helper, .count = 1};

/* Scores `count` items with what is left of *budget. False, with a line, when the function failed:
 * then no score of the batch counts. */
static bool score_batch(struct vm_thread *thread, const struct vm_image *image,
                        const struct item *items, uint32_t count, uint64_t *scores,
                        uint64_t *budget)
{
    const struct vm_entry *entry = vm_program_find_entry(vm_image_program(image), "score");
    struct vm_run *run = vm_run_start(thread, image, entry, NULL);
    uint32_t in;
    uint32_t out;
    uint8_t *in_host;
    uint8_t *out_host;
    enum vm_state state;
    char fault[160];

    if (run == NULL || (in = vm_run_heap_alloc(run, count * sizeof *items, &in_host)) == 0 ||
        (out = vm_run_heap_alloc(run, count * sizeof *scores, &out_host)) == 0) {
        die("score", "out of memory");
    }
    memcpy(in_host, items, count * sizeof *items);
    vm_run_set_args(run, (uint64_t[5]){in, count, out});
    vm_run_set_budget(run, *budget);
    do {
        state = vm_run_resume(run);
    } while (state == VM_STATE_PREEMPTED);
    *budget = vm_run_budget_left(run);
    if (state == VM_STATE_DONE) {
        memcpy(scores, out_host, count * sizeof *scores);
    } else {
        vm_fault_format(vm_run_fault(run), fault, sizeof fault);
        fprintf(stderr, "score: %s\n", fault);
    }
    vm_run_free(run);
    return state == VM_STATE_DONE;
}

int main(int argc, char **argv)
{
    static struct item items[ITEMS];
    static uint64_t scores[ITEMS];
    uint64_t budget = BUDGET_NS;
    uint64_t best = 0;
    struct vm_thread *thread;
    struct vm_diag diag;
    struct loaded user;
    bool good = true;

    if (argc != 2) {
        die("usage", "score FUNCTION.o");
    }
    for (uint32_t i = 0; i < ITEMS; i++) {
        items[i] = (struct item){.rating = i % 7, .views = i * 13 % 1000};
    }
    user = load(argv[1], &jit_x86_64, &helpers);
    if (vm_program_find_entry(user.program, "score") == NULL) {
        die(argv[1], "no function 'score'");
    }
    thread = vm_thread_create(&(struct vm_thread_config){0}, &diag);
    if (thread == NULL) {
        die("thread", diag.text);
    }
    for (uint32_t i = 0; i < ITEMS && good; i += BATCH) {
        good = score_batch(thread, user.image, items + i, BATCH, scores + i, &budget);
    }
    for (uint32_t i = 0; i < ITEMS; i++) {
        best = scores[i] > scores[best] ? i : best;
    }
    if (good) {
        printf("item %u of %u is best: %llu\n", (unsigned)best, ITEMS,
               (unsigned long long)scores[best]);
    }
    vm_thread_free(thread);
    unload(user);
    return good ? 0 : 1;
}

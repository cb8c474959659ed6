/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads of a process, each with a virtual machine of its own. Both run the same two images,
 * one compiled and one interpreted, and each takes turns with RUNS runs of each: a run that the
 * tick set aside waits while the others go on.
 *
 *     cc -o threads threads.c $(pkg-config --cflags --libs zsvm) -pthread
 *     clang -target bpf -mcpu=v3 -O2 -c count.c
 *     ./threads count.o
 */
#include <pthread.h>

#include "jit-x86_64/jit.h"
#include "load.h"

#define THREADS 2
#define RUNS    3 /* of each image, at the same time, on each thread */
#define STEPS   2000000ull

struct worker {
    const struct vm_image *image[2]; /* shared: images do not change */
    pthread_t thread;
    unsigned good;
    unsigned switches;
};

/* Resumes one run; true when it is over, which its result or its fault then says. */
static bool turn(struct worker *worker, struct vm_run *run)
{
    enum vm_state state = vm_run_resume(run);

    if (state == VM_STATE_PREEMPTED) {
        worker->switches++;
        return false;
    }
    worker->good += state == VM_STATE_DONE && vm_run_result(run) == STEPS * (STEPS + 1) / 2;
    return true;
}

static void *work(void *worker_)
{
    struct worker *worker = worker_;
    struct vm_thread_config config = {.tick_ms = 1, .budget_ms = 10000};
    struct vm_thread *thread = vm_thread_create(&config, NULL);
    struct vm_run *run[2 * RUNS];
    unsigned live = 2 * RUNS;

    if (thread == NULL) {
        die("thread", "cannot make a virtual machine");
    }
    for (unsigned i = 0; i < 2 * RUNS; i++) {
        run[i] = vm_run_start(thread, worker->image[i % 2], NULL, NULL);
        if (run[i] == NULL) {
            die("thread", "out of memory");
        }
        vm_run_set_args(run[i], (uint64_t[5]){STEPS});
    }
    while (live > 0) {
        for (unsigned i = 0; i < 2 * RUNS; i++) {
            if (run[i] != NULL && turn(worker, run[i])) {
                vm_run_free(run[i]);
                run[i] = NULL;
                live--;
            }
        }
    }
    vm_thread_free(thread);
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct ld_helpers none = {0};
    struct worker worker[THREADS] = {0};
    struct loaded compiled;
    struct loaded interpreted;
    unsigned good = 0;
    unsigned switches = 0;

    if (argc != 2) {
        die("usage", "threads count.o");
    }
    compiled = load(argv[1], &jit_x86_64, &none);
    interpreted = load(argv[1], &vm_interp, &none);
    for (int i = 0; i < THREADS; i++) {
        worker[i].image[0] = compiled.image;
        worker[i].image[1] = interpreted.image;
        if (pthread_create(&worker[i].thread, NULL, work, &worker[i]) != 0) {
            die("thread", "cannot start");
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(worker[i].thread, NULL);
        good += worker[i].good;
        switches += worker[i].switches;
    }
    printf("%u of %u runs counted right; switched %s\n", good, THREADS * 2 * RUNS,
           switches != 0 ? "yes" : "no");
    unload(compiled);
    unload(interpreted);
    return good == THREADS * 2 * RUNS ? 0 : 1;
}

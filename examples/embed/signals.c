/* SPDX-License-Identifier: Apache-2.0 */
/* A host with a SIGSEGV handler of its own. The guest's wild access becomes a fault of its run and
 * never reaches that handler; the host's own goes there as if no virtual machine were in between.
 *
 *     cc -o signals signals.c $(pkg-config --cflags --libs zsvm)
 *     ./signals
 */
#include <setjmp.h>
#include <signal.h>

#include "jit-x86_64/jit.h"
#include "load.h"

static sigjmp_buf recovery;

static void on_segv(int signo)
{
    siglongjmp(recovery, signo);
}

/* Runs instructions made by hand: r0 = *(u64 *)(r1 + 0); exit. */
static void run_guest(struct vm_thread *thread, uint64_t r1)
{
    static const struct vm_insn insns[] = {{.code = 0x79, .dst = 0, .src = 1}, {.code = 0x95}};
    struct vm_program_desc desc = {.name = "wild", .insns = insns, .insn_count = 2};
    struct vm_program *program;
    struct vm_image *image;
    struct vm_run *run;
    struct vm_diag diag;
    char fault[160];

    program = vm_program_create(&desc, &diag);
    if (program == NULL || (image = vm_image_create(&jit_x86_64, program, &diag)) == NULL) {
        die("guest", diag.text);
    }
    run = vm_run_start(thread, image, NULL, NULL);
    if (run == NULL) {
        die("guest", "out of memory");
    }
    vm_run_set_args(run, (uint64_t[5]){r1});
    if (vm_run_resume(run) == VM_STATE_FAULT) {
        vm_fault_format(vm_run_fault(run), fault, sizeof fault);
        printf("guest: %s\n", fault);
    }
    vm_run_free(run);
    vm_thread_forget(thread, image);
    vm_image_free(image);
    vm_program_free(program);
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_segv};
    volatile int *volatile nowhere = NULL;
    struct vm_thread *thread;
    struct vm_diag diag;

    sigaction(SIGSEGV, &action, NULL); /* first ours, then the library's, which passes on */
    thread = vm_thread_create(&(struct vm_thread_config){0}, &diag);
    if (thread == NULL) {
        die("thread", diag.text);
    }
    run_guest(thread, 0x1000);
    if (sigsetjmp(recovery, 1) == 0) {
        *nowhere = 1;
    }
    printf("host: its own handler was called\n");
    run_guest(thread, 0x2000); /* the machine is none the worse for it */
    vm_thread_free(thread);
    return 0;
}

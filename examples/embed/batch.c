/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the packets of a capture that a compiled filter accepts, as filter.c, but hands them to
 * the virtual machine many at a time; and gives it memory of the host's own, which is counted.
 *
 *     cc -o batch batch.c $(pkg-config --cflags --libs zsvm)
 *     clang -target bpf -mcpu=v3 -O2 -c tcp80.c
 *     ./batch tcp80.o capture.pcap
 */
#include <string.h>

#include "jit-x86_64/jit.h"
#include "load.h"

#define BATCH             64u
#define PACKETS_MAX       1024u
#define PACKET_BYTES_MAX  65535u
#define CAPTURE_BYTES_MAX (1u << 20)

/* ---- memory ---- */

static void *count_allocate(void *blocks, size_t bytes)
{
    ++*(unsigned *)blocks;
    return malloc(bytes);
}

static void *count_resize(void *blocks, void *block, size_t bytes)
{
    (void)blocks;
    return realloc(block, bytes);
}

static void count_release(void *blocks, void *block)
{
    --*(unsigned *)blocks;
    free(block);
}

/* ---- packets ---- */

/* The filter's notes are not wanted here. */
static uint64_t note(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    (void)arg;
    return 0;
}

static const struct vm_helper helper[] = {
    {.name = "note", .fn = note, .kind = {VM_ARG_CSTR}},
};
static const struct ld_helpers helpers = {.helpers = helper, .count = 1};

/* Makes a call of each packet; returns how many there are. */
static uint32_t read_capture(const char *path, struct vm_call *calls)
{
    static uint8_t bytes[CAPTURE_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    size_t length = file != NULL ? fread(bytes, 1, sizeof bytes, file) : 0;
    uint32_t count = 0;
    size_t at = 24; /* behind the header of the file */

    while (at + 16 <= length && count < PACKETS_MAX) {
        uint32_t packet_bytes;

        memcpy(&packet_bytes, bytes + at + 8, sizeof packet_bytes);
        at += 16;
        if (packet_bytes > PACKET_BYTES_MAX || packet_bytes > length - at) {
            die(path, "malformed record");
        }
        calls[count++] = (struct vm_call){
            .memory = bytes + at, .memory_bytes = packet_bytes, .args = {[1] = packet_bytes}};
        at += packet_bytes;
    }
    if (file != NULL) {
        fclose(file);
    }
    return count;
}

/* How many of calls[0..count) the filter accepts. One that faults is not accepted. */
static unsigned filter_batch(struct vm_thread *thread, const struct vm_image *image,
                             struct vm_call *calls, uint32_t count)
{
    unsigned accepted = 0;

    for (uint32_t done = 0; done < count;) {
        uint32_t made = vm_run_batch(thread, image, NULL, calls + done, count - done, NULL);
        if (made == 0) {
            die("batch", "out of memory");
        }
        done += made;
    }
    for (uint32_t i = 0; i < count; i++) {
        accepted += calls[i].state == VM_STATE_DONE && calls[i].result != 0;
    }
    return accepted;
}

int main(int argc, char **argv)
{
    static struct vm_call calls[PACKETS_MAX];
    unsigned blocks = 0;
    unsigned accepted = 0;
    const struct vm_allocator counting = {count_allocate, count_resize, count_release, &blocks};
    struct vm_thread *thread;
    struct vm_diag diag;
    struct loaded filter;
    uint32_t count;

    if (argc != 3) {
        die("usage", "batch FILTER.o CAPTURE.pcap");
    }
    if (!vm_set_allocator(&counting)) {
        die("allocator", "too late");
    }
    count = read_capture(argv[2], calls);
    filter = load(argv[1], &jit_x86_64, &helpers);
    thread = vm_thread_create(&(struct vm_thread_config){0}, &diag);
    if (thread == NULL) {
        die("thread", diag.text);
    }
    for (uint32_t i = 0; i < count; i += BATCH) {
        uint32_t left = count - i;

        accepted += filter_batch(thread, filter.image, calls + i, left < BATCH ? left : BATCH);
    }
    vm_thread_free(thread);
    unload(filter);
    printf("%u of %u packets accepted; %u blocks left\n", accepted, (unsigned)count, blocks);
    return 0;
}

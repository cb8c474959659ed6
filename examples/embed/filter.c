/* SPDX-License-Identifier: Apache-2.0 */
/* Shows which packets of a capture a compiled filter accepts. The filter is an eBPF function
 *
 *     unsigned long long filter(const unsigned char *packet, unsigned long long length)
 *
 * that returns nonzero for packets to keep. It may be hostile: it sees a copy of the packet and
 * nothing else, and one that faults or does not end costs its packet, not this process.
 *
 *     cc -o filter filter.c $(pkg-config --cflags --libs zsvm)
 *     clang -target bpf -mcpu=v3 -O2 -c tcp80.c
 *     ./filter tcp80.o capture.pcap
 */
#include <string.h>

#include "jit-x86_64/jit.h"
#include "load.h"

#define PACKET_BYTES_MAX 65535u

struct packet {
    unsigned number; /* in the capture, from 1 */
    uint32_t length;
    uint8_t bytes[PACKET_BYTES_MAX];
};

/* A helper: the filter calls `note("text")`. By the time this runs, the VM has checked that the
 * string lies in guest memory and ends there. */
static uint64_t note(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct packet *packet = vm_context_host(context);

    printf("packet %u: note: %.*s\n", packet->number, (int)arg[0].length, (char *)arg[0].data);
    return 0;
}

static const struct vm_helper helper[] = {
    {.name = "note", .fn = note, .kind = {VM_ARG_CSTR}},
};
static const struct ld_helpers helpers = {.helpers = helper, .count = 1};

/* The next packet of a little-endian pcap file, whose header was read; false at its end. */
static bool next_packet(FILE *capture, struct packet *packet)
{
    uint32_t record[4]; /* seconds, fraction, captured bytes, bytes on the wire */

    if (fread(record, sizeof record, 1, capture) != 1) {
        return false;
    }
    packet->number++;
    packet->length = record[2];
    if (packet->length > PACKET_BYTES_MAX ||
        fread(packet->bytes, 1, packet->length, capture) != packet->length) {
        die("capture", "malformed record");
    }
    return true;
}

/* Runs the filter on one packet. What it cannot judge it does not pass. */
static bool accepts(struct vm_thread *thread, const struct vm_image *image, struct packet *packet)
{
    struct vm_run *run = vm_run_start(thread, image, NULL, packet);
    uint8_t *copy;
    uint32_t address;
    enum vm_state state;
    char fault[160];
    bool accepted = false;

    if (run == NULL || (address = vm_run_heap_alloc(run, packet->length, &copy)) == 0) {
        die("filter", "out of memory");
    }
    memcpy(copy, packet->bytes, packet->length);
    vm_run_set_args(run, (uint64_t[5]){address, packet->length});
    while ((state = vm_run_resume(run)) == VM_STATE_PREEMPTED) {
        /* A tick has passed; a server would do something else here. */
    }
    if (state == VM_STATE_DONE) {
        accepted = vm_run_result(run) != 0;
    } else {
        vm_fault_format(vm_run_fault(run), fault, sizeof fault);
        printf("packet %u: fault: %s\n", packet->number, fault);
    }
    vm_run_free(run);
    return accepted;
}

int main(int argc, char **argv)
{
    static struct packet packet;
    uint32_t header[6]; /* magic, version, zone, accuracy, longest packet, link type */
    struct vm_thread_config config = {.budget_ms = 20};
    struct vm_thread *thread;
    struct vm_diag diag;
    struct loaded filter;
    unsigned accepted = 0;
    FILE *capture;

    if (argc != 3) {
        die("usage", "filter FILTER.o CAPTURE.pcap");
    }
    capture = fopen(argv[2], "rb");
    if (capture == NULL || fread(header, sizeof header, 1, capture) != 1 ||
        header[0] != 0xa1b2c3d4) {
        die(argv[2], "not a little-endian pcap file");
    }
    filter = load(argv[1], &jit_x86_64, &helpers);
    thread = vm_thread_create(&config, &diag);
    if (thread == NULL) {
        die("thread", diag.text);
    }
    while (next_packet(capture, &packet)) {
        if (accepts(thread, filter.image, &packet)) {
            printf("packet %u: accepted, %u bytes\n", packet.number, (unsigned)packet.length);
            accepted++;
        }
    }
    printf("%u of %u packets accepted\n", accepted, packet.number);
    vm_thread_free(thread);
    unload(filter);
    fclose(capture);
    return 0;
}

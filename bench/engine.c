/* SPDX-License-Identifier: Apache-2.0 */
/* `make bench-engine`: what programs cost on the engines and natively, and what entering,
 * compiling, ticks and faults cost. See bench/README.md. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/bench.h"

#define ROUNDS_DEFAULT 30   /* of three samples each */
#define HELPER_CALLS   1024 /* one run of helper_loop */

struct options {
    const char *programs;
    const char *scripts;
    const char *ubpf;
    const char *filter;
    const char *json;
    const char *library;
    unsigned rounds;
    bool no_costs;
};

static const char usage[] =
    "usage: engine --programs FOLDER [options]\n"
    "  --programs FOLDER  <name>.bpf.o, <name>.gcc.so and <name>.clang.so of every program\n"
    "  --scripts FOLDER   scripts of the server, compiled: what they cost a request, too\n"
    "  --only TEXT        only programs whose names contain TEXT\n"
    "  --rounds N         rounds, of three samples each (default 30)\n"
    "  --no-costs         programs only\n"
    "  --ubpf LIBRARY     adds columns for the uBPF in this libubpf.so\n"
    "  --library FILE     reports the size of this stripped libzsvm.so\n"
    "  --json FILE        writes the numbers there too\n";

static void parse(struct options *o, int argc, char **argv)
{
    static const struct option known[] = {
        {"programs", required_argument, NULL, 'p'}, {"scripts", required_argument, NULL, 's'},
        {"only", required_argument, NULL, 'f'},     {"rounds", required_argument, NULL, 'r'},
        {"no-costs", no_argument, NULL, 'n'},       {"ubpf", required_argument, NULL, 'u'},
        {"library", required_argument, NULL, 'l'},  {"json", required_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
    int c;

    *o = (struct options){.rounds = ROUNDS_DEFAULT};
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case 'p': o->programs = optarg; break;
        case 's': o->scripts = optarg; break;
        case 'f': o->filter = optarg; break;
        case 'r': o->rounds = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'n': o->no_costs = true; break;
        case 'u': o->ubpf = optarg; break;
        case 'l': o->library = optarg; break;
        case 'j': o->json = optarg; break;
        case 'h': fputs(usage, stdout); exit(0);
        default: fputs(usage, stderr); exit(2);
        }
    }
    if (o->programs == NULL || o->rounds == 0 || optind != argc) {
        fputs(usage, stderr);
        exit(2);
    }
}

static void native_call_cost(struct bench_costs *out, const struct bench_programs *programs)
{
    for (unsigned i = 0; i < programs->count; i++) {
        const struct bench_program *p = &programs->at[i];

        if (strcmp(p->name, "helper_loop") == 0) {
            bench_cost_add(out, "a direct call in C", p->native_ns / HELPER_CALLS, "ns", 0);
        }
    }
}

static void library_size(struct bench_costs *out, const char *path)
{
    struct stat file;

    if (stat(path, &file) != 0) {
        bench_die("cannot read %s", path);
    }
    bench_cost_add(out, "libzsvm.so, stripped", (double)file.st_size / 1024, "KiB", 250);
}

static void write_json(const char *path, const struct bench_programs *programs,
                       const struct bench_costs *costs)
{
    FILE *out = fopen(path, "w");

    if (out == NULL) {
        bench_die("cannot write %s", path);
    }
    bench_write_json(out, programs, costs);
    if (fclose(out) != 0) {
        bench_die("cannot write %s", path);
    }
}

int main(int argc, char **argv)
{
    static struct bench_programs programs;
    static struct bench_costs costs;
    /* no tick and no end of a budget falls into a measurement */
    struct vm_thread_config config = {.tick_ms = 10000, .budget_ms = 1000000};
    struct vm_thread *thread;
    struct vm_diag diag = {.text = ""};
    struct options o;

    parse(&o, argc, argv);
    thread = vm_thread_create(&config, &diag);
    if (thread == NULL) {
        bench_die("%s", diag.text);
    }
    bench_programs(&programs, thread, o.programs, o.ubpf, o.filter, o.rounds);
    if (!o.no_costs) {
        bench_costs(&costs, thread, o.rounds);
    }
    vm_thread_free(thread);
    if (!o.no_costs && o.scripts != NULL) {
        bench_chains(&costs, o.scripts, o.rounds);
    }
    native_call_cost(&costs, &programs);
    if (o.library != NULL) {
        library_size(&costs, o.library);
    }
    bench_print(&programs, &costs);
    if (o.json != NULL) {
        write_json(o.json, &programs, &costs);
    }
    return 0;
}

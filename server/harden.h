/* SPDX-License-Identifier: Apache-2.0 */
/* Gives up what a running server has no use for, so that whoever takes it over has little.
 *
 *   off     nothing
 *   basic   no capabilities, no new privileges by starting programs, and dangerous system calls
 *           are refused
 *   strict  besides, all system calls are refused but those that serving needs, and of the file
 *           system only what is loaded again at a reload can be read (Landlock, where the kernel
 *           has it)
 *
 * Starting programs is refused in both, unless a reload has to compile scripts.
 */
#ifndef SERVER_HARDEN_H
#define SERVER_HARDEN_H

#include <stdbool.h>
#include <stddef.h>

enum harden_level { HARDEN_OFF, HARDEN_BASIC, HARDEN_STRICT, HARDEN_LEVELS };

#define HARDEN_READ_MAX 512

struct harden_options {
    enum harden_level level;
    const char *user;                   /* to become; NULL: stay */
    const char *reads[HARDEN_READ_MAX]; /* files and folders that are read again */
    unsigned read_count;
    const char *log; /* file that is opened again for writing; NULL: none */
    bool compiles;   /* a reload runs the compiler */
};

/* By name; HARDEN_LEVELS: there is none of that name. */
enum harden_level harden_level_find(const char *name);

/* Of the whole process, for good; called while it has one thread. Says in a line what is on. What
 * the kernel does not have is left out in basic, and Landlock in strict. False: `error`. */
bool harden_process(const struct harden_options *options, char *error, size_t error_bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock: the thread and those it starts reach no files but the ones named here. What is open
 * stays open. */
#ifndef SERVER_LANDLOCK_H
#define SERVER_LANDLOCK_H

#include <stdbool.h>

/* -1: the kernel has none. Close it when it is not enforced. */
int landlock_open(void);
enum landlock_right { LANDLOCK_READ, LANDLOCK_RUN, LANDLOCK_WRITE };
/* The folder and all below it, or one file. RUN: read, and start programs. WRITE: read, write and
 * make files. Nothing happens when there is no such path. */
void landlock_add(int rules, const char *path, enum landlock_right right);
/* Takes effect and closes `rules`. */
bool landlock_enforce(int rules);

#endif

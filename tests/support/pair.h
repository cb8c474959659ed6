/* SPDX-License-Identifier: Apache-2.0 */
/* A private key (P-256) and its certificate for localhost, made for the moment. */
#ifndef TESTS_SUPPORT_PAIR_H
#define TESTS_SUPPORT_PAIR_H

#include <stdbool.h>

/* Writes both into a new file, PEM; `path` ends in XXXXXX and gets its name. */
bool pair_create(char *path);

#endif

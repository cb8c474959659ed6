/* SPDX-License-Identifier: Apache-2.0 */
/* Answers requests as the server would, without connections: with the scripts and files of a site,
 * its response hooks and its pages with metadata. Upstreams are not asked; what they would be asked
 * is the answer then. For tests of sites. Scripts log to standard error. */
#ifndef SERVER_REHEARSE_H
#define SERVER_REHEARSE_H

#include "server/offline.h"
#include "server/script.h"

struct rehearsal;

/* `path` as the server takes it: a folder, a tar or a script. Runs the init entries. NULL: one line
 * in `error`. */
struct rehearsal *rehearsal_open(const char *path, const struct script_options *options,
                                 char *error, size_t error_bytes);
/* Forgets what was counted so far, as a server does that is started again. False: as above; then it
 * can only be freed. */
bool rehearsal_restart(struct rehearsal *rehearsal, char *error, size_t error_bytes);
void rehearsal_free(struct rehearsal *rehearsal);

/* Texts with plain newlines and a NUL behind them. */
struct rehearsal_answer {
    /* "200 OK", then a field in each line. "aborted": there is none. "proxied": the fields are
     * those the upstream gets, with two more: zs-proxy names the upstreams as the script did,
     * zs-request is the request line. */
    char *head;
    char *body; /* of the response; as it is */
    size_t body_bytes;
};
/* False: one line in `error`, the request cannot be sent at all. */
bool rehearsal_ask(struct rehearsal *rehearsal, const struct offline_client *client,
                   const char *request, size_t request_bytes, struct rehearsal_answer *answer,
                   char *error, size_t error_bytes);
void rehearsal_answer_free(struct rehearsal_answer *answer);

#endif

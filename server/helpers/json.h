/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON values of one script. Every byte jansson allocates for it is on the script's account:
 * that bounds it, and lets all of it be freed at once when the script ends in whatever way. */
#ifndef SERVER_HELPERS_JSON_H
#define SERVER_HELPERS_JSON_H

#include <jansson.h>

#include "server/helpers/helpers.h"

struct json_block;

struct json_account {
    struct json_block *blocks;
    size_t used_bytes;
    size_t bytes_max;
    bool refused; /* an allocation failed since json_open */
};

/* A document and its handles; dies with the last of them. */
struct json_document {
    json_t *root;
    unsigned handles;
};

/* A place in a document: the root, or a member of `parent`. */
struct json_handle {
    uint64_t id; /* 0: free */
    struct json_document *document;
    json_t *node;
    json_t *parent; /* or NULL for the root */
    char *key;      /* of an object, with key_bytes; NULL for the root and in arrays */
    size_t key_bytes;
    size_t index; /* in an array */
    unsigned depth;
};

struct helper_json {
    struct json_account account;
    uint64_t last_id;
    struct json_handle handles[LIM_JSON_HANDLES];
};

/* From here to json_end, jansson allocates for this script. False: no memory, and it is not. */
bool json_begin(struct helper_state *state);
/* False: an allocation was refused since json_begin. */
bool json_end(struct helper_state *state);
/* The same for helpers: from here to json_close nothing may fault. */
struct helper_json *json_open(struct vm_context *context);
/* Faults when an allocation was refused since json_open. */
void json_close(struct vm_context *context);

void *json_allocate(size_t bytes);
void json_release(void *memory);

/* Opened: parses, bounded in depth. NULL: malformed, or refused. */
json_t *json_read(const struct vm_arg *text);

/* The handle with this number; faults when there is none. Call it before json_open: a fault must
 * not leave the account open. */
struct json_handle *json_find(struct vm_context *context, uint64_t id);
/* A place for a new handle, still free; faults when all are taken. */
struct json_handle *json_free_handle(struct vm_context *context);
/* Opened; closes. Makes it a handle on the root of a document of its own, and returns its number.
 * Takes `root`; NULL: malformed (gives -1), or refused (faults). */
uint64_t json_new_document(struct vm_context *context, struct json_handle *handle, json_t *root);

#endif

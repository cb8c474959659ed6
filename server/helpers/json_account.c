/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of JSON. jansson knows one allocator for the process: it charges the account that the
 * thread has open. Freeing credits the account that a block came from. */
#include <pthread.h>
#include <stdlib.h>

#include "server/helpers/json.h"
#include "server/helpers/shared.h"

struct json_block {
    struct json_block *next;
    struct json_block **link; /* what points here */
    struct json_account *account;
    size_t bytes; /* with this head */
    _Alignas(16) char memory[];
};

static _Thread_local struct json_account *open_account;
static pthread_once_t setup_once = PTHREAD_ONCE_INIT;

void *json_allocate(size_t bytes)
{
    struct json_account *account = open_account;
    struct json_block *block = NULL;

    if (account == NULL) {
        return NULL;
    }
    if (bytes <= SIZE_MAX - sizeof *block &&
        bytes + sizeof *block <= account->bytes_max - account->used_bytes) {
        block = malloc(sizeof *block + bytes);
    }
    if (block == NULL) {
        account->refused = true;
        return NULL;
    }
    *block = (struct json_block){.next = account->blocks,
                                 .link = &account->blocks,
                                 .account = account,
                                 .bytes = bytes + sizeof *block};
    if (block->next != NULL) {
        block->next->link = &block->next;
    }
    account->blocks = block;
    account->used_bytes += block->bytes;
    return block->memory;
}

void json_release(void *memory)
{
    struct json_block *block;

    if (memory == NULL) {
        return;
    }
    block = (struct json_block *)((char *)memory - offsetof(struct json_block, memory));
    *block->link = block->next;
    if (block->next != NULL) {
        block->next->link = block->link;
    }
    block->account->used_bytes -= block->bytes;
    free(block);
}

static void setup(void)
{
    json_set_alloc_funcs(json_allocate, json_release);
    json_object_seed(0);
}

bool json_begin(struct helper_state *state)
{
    pthread_once(&setup_once, setup);
    if (state->json == NULL) {
        state->json = pool_alloc(&state->ex->pool, sizeof *state->json);
        if (state->json == NULL) {
            return false;
        }
        *state->json = (struct helper_json){0};
    }
    state->json->account.refused = false;
    state->json->account.bytes_max = state->shared->json_bytes_max;
    open_account = &state->json->account;
    return true;
}

bool json_end(struct helper_state *state)
{
    open_account = NULL;
    return !state->json->account.refused;
}

struct helper_json *json_open(struct vm_context *context)
{
    struct helper_state *state = helper_state(context);

    if (state->json == NULL) {
        bool done = json_begin(state);

        open_account = NULL;
        helper_allocated(context, done);
    }
    (void)json_begin(state);
    return state->json;
}

void json_close(struct vm_context *context)
{
    if (!json_end(helper_state(context))) {
        vm_helper_fault(context, "too much memory for JSON");
    }
}

void helper_json_finish(struct helper_state *state)
{
    struct helper_json *json = state->json;

    while (json != NULL && json->account.blocks != NULL) {
        struct json_block *block = json->account.blocks;

        json->account.blocks = block->next;
        free(block);
    }
    if (json != NULL) {
        *json = (struct helper_json){0};
    }
}

/* jansson recurses, and a script's native stack is small. */
static bool too_deep(const struct vm_arg *text)
{
    unsigned depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < text->length; i++) {
        uint8_t c = text->data[i];

        if (quoted && c == '\\') {
            i++;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && (c == '[' || c == '{') && ++depth > LIM_JSON_DEPTH) {
            return true;
        } else if (!quoted && (c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return false;
}

json_t *json_read(const struct vm_arg *text)
{
    json_error_t error;

    if (text->length > open_account->bytes_max) {
        open_account->refused = true;
        return NULL;
    }
    if (text->length == 0 || too_deep(text)) {
        return NULL;
    }
    return json_loadb((const char *)text->data, text->length, JSON_DECODE_ANY | JSON_ALLOW_NUL,
                      &error);
}

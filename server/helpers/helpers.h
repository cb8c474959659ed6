/* SPDX-License-Identifier: Apache-2.0 */
/* What the host functions of sdk/helpers.def share. One file per family holds them; each is called
 * host_<name of the helper>, so that a row without a function does not link.
 *
 * They run on the run's small native stack: no large locals. vm_helper_fault does not return and
 * runs nothing on the way out: a helper holds no resource but memory of the exchange's pool.
 */
#ifndef SERVER_HELPERS_HELPERS_H
#define SERVER_HELPERS_HELPERS_H

#include "server/exchange.h"
#include "server/limits.h"
#include "vm/vm.h"

struct helper_json;   /* server/helpers/json.h */
struct helper_shared; /* server/helpers/shared.h */
struct json_t;        /* of jansson */

/* An answer that is set aside while another script has the place for its own. */
struct helper_answer {
    unsigned status;
    bool aborted;
    struct field_list fields;
    struct body body;
    struct proxy_request *proxy;
};
struct helper_answer helper_answer_take(struct exchange *ex); /* leaves none */
void helper_answer_put(struct exchange *ex, const struct helper_answer *answer);

/* A call of another script. The helper fills it in and waits; whoever runs the scripts acts on it
 * and resumes. */
struct helper_call {
    enum { CALL_NONE, CALL_WANTED, CALL_RETURNED, CALL_FAILED, CALL_TOO_LATE } state;
    struct span script;
    struct span function;
    const struct json_t *value; /* what is passed; once it has returned, what came back */
};

/* A function to run on the response; in the pool. */
struct response_hook {
    struct response_hook *next;
    struct span script;
    struct span function;
    struct span input; /* JSON text */
};

/* What helpers know of the invocation: the `host` pointer of its run. */
struct helper_state {
    struct exchange *ex;
    const char *script; /* name, for the log */
    const struct helper_shared *shared;
    uint8_t *body; /* in the pool, of body_capacity bytes: what zs_respond copied last */
    size_t body_capacity;
    struct helper_json *json; /* in the pool, or NULL: no JSON yet */
    char *log;                /* in the pool, LIM_LOG_LINE_BYTES, or NULL: zs_log's line so far */
    size_t log_used;          /* 0 between invocations */
    struct helper_call call;
    struct helper_answer *response; /* in hooks: what is going to be sent; else NULL */
};

/* Makes it one of this exchange, with nothing in its pool yet. */
static inline void helper_state_begin(struct helper_state *state, struct exchange *ex,
                                      const struct helper_shared *shared)
{
    state->ex = ex;
    state->shared = shared;
    state->body = NULL;
    state->body_capacity = 0;
    state->json = NULL;
    state->log = NULL;
}

/* Faults when the script runs without a request, as a tool may do. */
struct helper_state *helper_state(struct vm_context *context);
struct exchange *helper_exchange(struct vm_context *context);

/* Is it UTF-8? */
bool helper_is_text(struct span text);
/* A READ argument as text; faults unless it is UTF-8. Lives until the helper returns or waits. */
struct span helper_text(struct vm_context *context, const struct vm_arg *in);
/* The same without white space at the ends. */
struct span helper_name(struct vm_context *context, const struct vm_arg *in);
/* Name and value of a field: a token; a valid value without spaces at its ends. Else faults. */
struct field helper_field(struct vm_context *context, const struct vm_arg *name,
                          const struct vm_arg *value);
/* The same of a name that is a part of `in`: all but the white space around it, or what follows a
 * prefix that could stand in a token. */
struct field helper_field_named(struct vm_context *context, struct span name,
                                const struct vm_arg *in, const struct vm_arg *value);

/* `text` is some of what `in` points at. The same for as long as the exchange lives: constants are
 * there longer, all else is copied. Faults when there is no room. */
struct span helper_keep(struct vm_context *context, const struct vm_arg *in, struct span text);

/* A text being written to a WRITE argument: cut to what fits, always NUL-terminated. */
struct helper_out {
    uint8_t *data;
    size_t room;
    size_t length; /* of the whole text */
};
struct helper_out helper_out(const struct vm_arg *out);
void helper_put(struct helper_out *out, struct span piece);
/* Result of the helper: length of the text, or the room when it did not fit. */
uint64_t helper_end(struct helper_out *out);
/* All three in one. */
uint64_t helper_text_out(const struct vm_arg *out, struct span text);

/* Faults unless `done` is true and scripts have left the exchange its share of the pool. Called
 * after each allocation for the exchange. */
void helper_allocated(struct vm_context *context, bool done);

/* Bytes of the valid UTF-8 sequence at the start of text[0..len), or 0. */
size_t helper_utf8(const char *text, size_t len);
/* Trims bytes of `set`, which are white space, off both ends. */
struct span helper_trim(struct span text, const char *set);

/* Writes the line that zs_log has not ended yet, if there is one. */
void helper_log_finish(struct helper_state *state);

/* Frees the JSON values of the script that ends. */
void helper_json_finish(struct helper_state *state);
/* For whoever runs the scripts. The handle of a copy of `value`, or of what `text` is, among the
 * values of `to`; 0: no memory, or malformed. */
uint64_t helper_json_give(struct helper_state *to, const struct json_t *value);
uint64_t helper_json_give_text(struct helper_state *to, struct span text);
/* The value with that handle, or NULL. */
const struct json_t *helper_json_value(const struct helper_state *of, uint64_t handle);

/* Answers with a body of `bytes`, which the caller fills; faults when status or size cannot be. */
uint8_t *helper_respond(struct vm_context *context, uint64_t status, size_t bytes);

#define ZS_HELPER(returns, name, parameters, kinds, text) vm_helper_fn host_##name;
#include "sdk/helpers.def"
#undef ZS_HELPER

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* zs_log: a script's own lines in the server's log. */
#include <inttypes.h>

#include "server/helpers/helpers.h"
#include "server/log.h"

/* Lines one call writes before the worker serves others: each is a system call. */
#define LINES_A_TURN 64u

/* Controls, C1 ones (C2 80 to C2 9F) too, and what is not UTF-8 become '?': the log is read on
 * terminals. */
static void make_printable(char *text, size_t len)
{
    size_t bytes;

    for (size_t i = 0; i < len; i += bytes) {
        unsigned char c = (unsigned char)text[i];

        bytes = helper_utf8(text + i, len - i);
        if (bytes == 0 || (bytes == 1 && (c < 0x20 || c == 0x7F))) {
            text[i] = '?';
            bytes = 1;
        } else if (c == 0xC2 && (unsigned char)text[i + 1] < 0xA0) {
            text[i] = '?';
            text[i + 1] = '?';
        }
    }
}

static void write_line(struct helper_state *state)
{
    make_printable(state->log, state->log_used);
    log_line("[user_log] %" PRIu64 ": %s: %.*s", state->ex->id, state->script, (int)state->log_used,
             state->log);
    state->log_used = 0;
}

void helper_log_finish(struct helper_state *state)
{
    if (state->log_used > 0) {
        write_line(state);
    }
}

uint64_t host_zs_log(struct vm_context *context, const struct vm_arg arg[5])
{
    struct helper_state *state = helper_state(context);
    unsigned lines = 0;

    if (state->log == NULL) {
        state->log = pool_alloc(&state->ex->pool, LIM_LOG_LINE_BYTES);
        helper_allocated(context, state->log != NULL);
    }
    for (size_t i = 0; i < arg[0].length; i++) {
        char c = (char)arg[0].data[i];

        if (c != '\n' && state->log_used < LIM_LOG_LINE_BYTES) {
            state->log[state->log_used++] = c;
            continue;
        }
        write_line(state);
        if (c != '\n') {
            state->log[state->log_used++] = c;
        }
        if (++lines % LINES_A_TURN == 0) {
            vm_helper_wait(context);
        }
    }
    return 0;
}

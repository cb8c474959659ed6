/* SPDX-License-Identifier: Apache-2.0 */
/* One answer from its first byte to its last, out of the parsers of h1_response.h. */
#include "server/answer.h"

#include <assert.h>

enum { HEAD, BODY, COMPLETE, ENDED };

void answer_start(struct answer *answer, struct span method)
{
    *answer = (struct answer){.method = method, .state = HEAD};
    h1_parser_init(&answer->parser);
}

static enum answer_event fail(struct answer *answer, const char *reason)
{
    answer->state = ENDED;
    answer->reason = reason;
    return ANSWER_BAD;
}

static enum answer_event take_head(struct answer *answer, const struct h1_response *head)
{
    if (h1_response_interim(head)) {
        h1_parser_init(&answer->parser);
        return ++answer->interim_count > LIM_UPSTREAM_INTERIM
                   ? fail(answer, "too many interim answers")
                   : ANSWER_INTERIM;
    }
    if (head->status == 101) {
        answer->state = ENDED;
        return ANSWER_SWITCH;
    }
    answer->keep_alive = head->keep_alive;
    h1_response_body_init(&answer->body, head);
    answer->state = BODY;
    return ANSWER_HEAD;
}

static enum answer_event next_head(struct answer *answer, struct span in, bool eof,
                                   struct h1_response *head, size_t *consumed)
{
    switch (h1_parse_response(&answer->parser, in.base, in.len, answer->method, head, consumed)) {
    case H1_DONE: return take_head(answer, head);
    case H1_BAD: return fail(answer, answer->parser.reason);
    case H1_MORE: break;
    }
    if (!eof) {
        return ANSWER_MORE;
    }
    return fail(answer, in.len > 0 ? "closed within a head" : "closed without an answer");
}

static enum answer_event next_content(struct answer *answer, struct span in, bool eof,
                                      size_t *consumed, struct span *content)
{
    enum h1_result result =
        h1_response_body_next(&answer->body, in.base, in.len, consumed, content);
    if (result == H1_BAD) {
        return fail(answer, "malformed body");
    }
    if (result == H1_DONE) {
        answer->state = COMPLETE;
    }
    if (content->len > 0) {
        answer->had_content = true;
        return ANSWER_CONTENT;
    }
    if (result == H1_MORE && !eof) {
        return ANSWER_MORE;
    }
    if (result == H1_MORE && !h1_response_body_complete_at_eof(&answer->body)) {
        return fail(answer, "closed within a body");
    }
    answer->state = COMPLETE;
    return ANSWER_DONE;
}

enum answer_event answer_next(struct answer *answer, struct span in, bool eof,
                              struct h1_response *head, size_t *consumed, struct span *content)
{
    enum answer_event event = ANSWER_DONE;
    assert(answer->state != ENDED);
    *consumed = 0;
    *content = SPAN("");
    if (answer->state == HEAD) {
        return next_head(answer, in, eof, head, consumed);
    }
    if (answer->state == BODY) {
        event = next_content(answer, in, eof, consumed, content);
    }
    if (event == ANSWER_DONE) {
        /* Bytes that nobody asked for could pass for the answer to the next request. */
        answer->reusable = answer->keep_alive && !eof && in.len == *consumed;
        answer->state = ENDED;
    }
    return event;
}

uint64_t answer_left(const struct answer *answer)
{
    const struct h1_body *body = &answer->body.framed;
    return answer->state == BODY && body->framing == H1_BODY_LENGTH ? body->left : 0;
}

bool answer_is_complete(const struct answer *answer)
{
    return answer->state == COMPLETE;
}

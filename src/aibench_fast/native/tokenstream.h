/* Streams of tokens over HTTP/1.1, as OpenAI's API has them: server-sent events whose data is JSON.
 *
 * The time of an event is when its end came: the kernel's stamp of the last segment in the receive that brought it, or,
 * if there is none (TLS, unix sockets), the clock right behind that receive. Nothing is parsed before it is taken.
 *
 * An event has content if one of its choices has text, reasoning or a tool call; all of these but reasoning are an
 * answer. A reply of another status than 200, an event that is an error, and a stream that breaks a rule of its plan are
 * failures.
 *
 * Requests are streams of protocol.h, of which a connection has one at a time.
 *
 * Memory: readers of a thread share the room to receive to and the memory to parse in. A reader allocates when its
 * connection opens, and more only for a number of chunks, or a part of an event, that is larger than any before it.
 * Units: nanoseconds of CLOCK_MONOTONIC. Threads: see protocol.h.
 */
#ifndef AIBENCH_TOKENSTREAM_H
#define AIBENCH_TOKENSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"
#include "tokenevent.h"

/* What has to come before the end of a reply. */
enum stream_end_rule {
    STREAM_END_USUAL, /* [DONE] or a finish_reason */
    STREAM_END_DONE,
    STREAM_END_FINISH,
    STREAM_END_HTTP /* nothing more */
};

/* What a good stream keeps to; 0 is no limit. Under a schedule times count from when the request was due. */
struct token_limits {
    int64_t first_token_ns;
    int64_t first_answer_ns;
    int64_t token_ns; /* a stream's mean time for a token after the first; one of a single token has none */
    int64_t latency_ns;
};

/* What a stream has to be; 0 is no limit. */
struct token_plan {
    enum stream_end_rule end;
    int64_t first_token_timeout_ns; /* from the request's start to its first content */
    int64_t token_timeout_ns;       /* from one content to the next, or to a finish_reason or [DONE] */
    uint64_t min_tokens;            /* as the server counts them, or else chunks */
    struct token_limits limits;     /* a stream beyond them is no failure */
};

static inline bool token_plan_has_timeout(const struct token_plan *plan)
{
    return plan->first_token_timeout_ns || plan->token_timeout_ns;
}

/* What came of a stream, and when; times are 0 for what did not come. */
struct token_marks {
    int64_t first_event_ns;
    int64_t first_content_ns; /* text, reasoning, or a tool call */
    int64_t first_answer_ns;  /* the same but reasoning */
    int64_t last_content_ns;
    int64_t finished_ns; /* a finish_reason or [DONE] */
    int64_t ended_ns;    /* the reply */
    int64_t longest_gap_ns;
    uint64_t events;
    uint64_t chunks; /* events with content */
    uint64_t reads;  /* receives that brought the end of an event */
    uint64_t stamped_reads; /* of those the ones with a stamp of the kernel */
    int64_t output_tokens; /* as the server counted them, or TOKENS_UNKNOWN */
    int64_t input_tokens;
    const int64_t *gaps_ns; /* between chunks: one fewer than chunks */
};

extern const struct protocol tokenstream_protocol;

/* Return how many tokens came, as the server counted them, or else chunks. */
static inline uint64_t token_marks_tokens(const struct token_marks *marks)
{
    return marks->output_tokens == TOKENS_UNKNOWN ? marks->chunks : (uint64_t)marks->output_tokens;
}

/* Judge the times of a request's stream, up to its end or, before that, up to `until_ns`. The check says which limit is
 * broken. */
void tokenstream_judge_times(struct replycheck *check, const struct token_plan *plan, const struct token_marks *marks,
                             int64_t started_ns, int64_t until_ns);

#endif

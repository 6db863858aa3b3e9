/* Streams of tokens over HTTP/1.1, as OpenAI's API has them: server-sent events whose data is JSON. The time of each event
 * is taken right behind the receive that brought its end, before anything is parsed.
 *
 * An event has content if its first choice has text, reasoning or a tool call; all of these but reasoning are an answer. A
 * stream is whole at `[DONE]`, or with a finish_reason and the end of the reply. A reply of another status than 200, an
 * event that is an error, and a stream that ends before it is whole are failures.
 *
 * Requests are streams of protocol.h, of which a connection has one at a time.
 *
 * Memory: a reader allocates when its connection opens, and more only for an event, or for a number of chunks, that is
 * larger than any before it.
 * Units: nanoseconds of CLOCK_MONOTONIC. Threads: see protocol.h.
 */
#ifndef AIBENCH_TOKENSTREAM_H
#define AIBENCH_TOKENSTREAM_H

#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

#define TOKENS_UNKNOWN (-1)

/* What came of a stream, and when; times are 0 for what did not come. */
struct token_marks {
    int64_t first_event_ns;
    int64_t first_content_ns; /* text, reasoning, or a tool call */
    int64_t first_answer_ns;  /* the same but reasoning */
    int64_t last_content_ns;
    uint64_t events;
    uint64_t chunks; /* events with content */
    uint64_t reads;  /* receives that brought the end of an event */
    int64_t output_tokens; /* as the server counted them, or TOKENS_UNKNOWN */
    int64_t input_tokens;
    const int64_t *gaps_ns; /* between chunks: one fewer than chunks */
};

extern const struct protocol tokenstream_protocol;

#endif

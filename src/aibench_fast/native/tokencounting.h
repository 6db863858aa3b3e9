/* Counts each stream of tokens that ended, in the figures of the whole run and of each part that it belongs to.
 *
 * Memory: nothing here allocates. Units: nanoseconds of CLOCK_MONOTONIC. Threads: the worker's I/O thread calls it.
 */
#ifndef AIBENCH_TOKENCOUNTING_H
#define AIBENCH_TOKENCOUNTING_H

#include "runstate.h"
#include "tokenstream.h"

/* The worker's request ended, as the worker's check says; `marks` is what came of it. */
void count_tokens(struct iothread *t, struct worker *w, const struct request *request, const struct token_marks *marks,
                  int64_t ended_ns, bool is_measured);

#endif

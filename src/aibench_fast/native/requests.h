/* A worker's requests: taken from the schedule, sent, answered and ended.
 *
 * This file and connecting.h are one state machine, and call each other. The phases are those of
 * `enum worker_phase`:
 *
 *     phase       entered by                handled by
 *     WAITING     worker_next               iothread.c, which calls worker_begin when the request is due
 *     BUSY        worker_start              worker_send, worker_receive
 *     STREAMING   worker_start              streams.h
 *     CONNECTING  worker_connect            worker_connected, or connect_failed
 *     GREETING    worker_connected          worker_greeted, or connect_failed
 *     RESTING     worker_rest               worker_rested
 *     ENDED       worker_end                nothing
 *
 * iothread.c calls the handlers: for an event of the socket, after a timeout, or when the run is over.
 *
 * requests.c owns WAITING, BUSY and ENDED; connecting.c owns the others. From here to there, worker_begin and
 * worker_receive call worker_connect, without a connection or after a redirect; worker_lost and worker_receive call
 * worker_rest. From there to here, a new connection calls worker_start, or worker_next if the request is too late by
 * then; connect_failed calls requests_lost or request_done for requests that it gives up, and worker_end;
 * worker_rested calls worker_begin, worker_next or worker_end_unsent.
 *
 * streams.c takes the place of BUSY for a protocol whose requests are streams; it uses the functions at the end of this
 * file.
 *
 * Each function leaves the worker in one of these phases; after a call, read its state again.
 *
 * Memory: nothing here allocates. Units: nanoseconds of CLOCK_MONOTONIC.
 * Threads: the worker's I/O thread alone calls them, but any thread may call run_stop and run_is_over.
 */
#ifndef AIBENCH_REQUESTS_H
#define AIBENCH_REQUESTS_H

#include "counting.h"
#include "runstate.h"

/* Stop the run: its threads end within a tenth of a second. */
void run_stop(struct run_state *run);

/* Return whether no more requests may start. */
bool run_is_over(struct run_state *run);

/* Give the worker, which has no request, its next one, which starts at once or when it is due; or end the worker. */
void worker_next(struct iothread *t, struct worker *w);

/* Start the worker's request, on a new connection if the old one is lost or closed. */
void worker_begin(struct iothread *t, struct worker *w);

/* Send the worker's request on its connection, which has no other outstanding, and more requests behind it. */
void worker_start(struct iothread *t, struct worker *w);

/* Send what is queued. When all of it went, fill the queue with the requests that the pipeline has room for. */
void worker_send(struct iothread *t, struct worker *w);

/* Receive and judge what came on the connection, or its end. */
void worker_receive(struct iothread *t, struct worker *w);

/* The oldest request failed for the reason in the check. Its connection is lost, and with it the other requests
 * that are outstanding on it. */
void worker_lost(struct iothread *t, struct worker *w);

/* The oldest request ended, as its check says. */
void request_done(struct iothread *t, struct worker *w);

/* The same, at a time that is known. */
void request_ended(struct iothread *t, struct worker *w, int64_t ended_ns);

/* request_done, and all requests outstanding behind it failed with it. */
void requests_lost(struct iothread *t, struct worker *w);

/* Drop a request that is later by the schedule than allowed: it is shed, or it ends the run. Return whether it was
 * dropped; the worker then has no request. */
bool drop_too_late(struct iothread *t, struct worker *w, const struct request *request);

/* The run is over and the worker's request was not sent: count it as unsent if it was due. */
void note_unsent(struct iothread *t, struct worker *w);

/* The same, and end the worker. */
void worker_end_unsent(struct iothread *t, struct worker *w);

/* Close the worker's connection; it does nothing more. */
void worker_end(struct iothread *t, struct worker *w);

/* In a closed loop, the requests that the worker has, which waited for a connection, were meant to start when it began
 * to connect: their latencies include the wait. */
void include_wait(struct iothread *t, struct worker *w);

/* Draw the kind of request `number` of a mix. */
uint32_t draw_kind(const struct run_state *run, uint64_t number);

/* The rest is inline, because every request comes here. */

/* Begin to judge the replies to the oldest request. */
static inline void judge_oldest(struct iothread *t, struct worker *w)
{
    w->check.expected = oldest(w)->kind;
    replycheck_start(&w->check, w->output              ? w->output
                                : oldest(w)->samples ? t->run->sample
                                                     : NULL);
}

/* Put the run's next request into the ring, which has room; return NULL if the run has no more. */
static inline struct request *request_take(struct iothread *t, struct worker *w)
{
    struct run_state *run = t->run;
    struct request *request =
        &w->requests[(w->oldest + w->outstanding) % run->config.pipeline];
    struct arrival *arrival = &request->arrival;
    if (run_is_over(run))
        return NULL;
    if (!schedule_next(&run->schedule, arrival)) {
        atomic_store(&run->exhausted, true);
        return NULL;
    }
    if (run->config.max_requests && arrival->number >= run->config.max_requests) {
        keep_earliest(&run->max_due_ns, arrival->due_ns);
        atomic_store(&run->exhausted, true);
        return NULL;
    }
    request->started_ns = 0;
    request->samples = false;
    request->measured = false;
    request->kind = w->kinds;
    if (run->config.kind_count > 1)
        request->kind += draw_kind(run, arrival->number);
    w->outstanding++;
    return request;
}

static bool sample_claim(struct run_state *run)
{
    int wanted = SAMPLE_WANTED;
    return atomic_load_explicit(&run->sample_state, memory_order_relaxed) == SAMPLE_WANTED &&
           atomic_compare_exchange_strong(&run->sample_state, &wanted, SAMPLE_TAKEN);
}

/* A request that was taken starts now. */
static inline void request_starts(struct iothread *t, struct worker *w, struct request *request, int64_t now_ns)
{
    const struct request_kind *kind = request->kind;
    counter_bump(&t->counted.counters.begun);
    request->started_ns = now_ns;
    if (request->arrival.due_ns)
        count_started(t, w, request);
    request->samples = sample_claim(t->run);
    if (request->samples) {
        t->run->sample_kind = (uint32_t)(kind - w->kinds);
        t->run->sample_tensor = kind_first_tensor(kind, kind->inputs[0], request->arrival.number);
    }
}

/* List the texts and tensors of a request; return the end of the list, and add their bytes to `*bytes`. */
static inline struct iovec *request_pieces(const struct worker *w, const struct request *request, struct iovec *iov,
                                           uint64_t *bytes)
{
    const struct request_kind *kind = request->kind;
    const struct request_text *text = kind->texts + (size_t)w->index * (kind->input_count + 1);
    const struct request_text *last = text + kind->input_count;
    const struct tensormap *const *input = kind->inputs;
    for (; text < last; text++, input++) {
        uint64_t first = kind_first_tensor(kind, *input, request->arrival.number);
        *iov++ = (struct iovec){(void *)text->bytes, text->count};
        iov += tensormap_batch(*input, first, kind->batch, iov);
        *bytes += text->count + tensormap_batch_bytes(*input, first, kind->batch);
    }
    *iov++ = (struct iovec){(void *)text->bytes, text->count};
    *bytes += text->count;
    return iov;
}

#endif

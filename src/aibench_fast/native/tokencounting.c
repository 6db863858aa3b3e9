#include "tokencounting.h"

#include <math.h>

#include "counting.h"
#include "steadywindow.h"

/* A stream that ended. */
struct stream {
    const struct token_marks *marks;
    uint64_t tokens; /* of its answer */
    bool is_good;
    int64_t started_ns;
    int64_t due_ns; /* 0: in a closed loop */
};

/* Return the mean time for a token after the first; 0 with one token. */
static int64_t token_ns(const struct token_marks *marks, uint64_t tokens)
{
    return tokens > 1 ? (marks->last_content_ns - marks->first_content_ns) / (int64_t)(tokens - 1) : 0;
}

static bool is_within(int64_t time_ns, int64_t limit_ns)
{
    return limit_ns == 0 || time_ns <= limit_ns;
}

static bool is_good(const struct stream *s, const struct token_limits *limits, int64_t ended_ns)
{
    int64_t from_ns = s->due_ns ? s->due_ns : s->started_ns;
    int64_t answer_ns = s->marks->first_answer_ns ? s->marks->first_answer_ns - from_ns : INT64_MAX;
    return is_within(s->marks->first_content_ns - from_ns, limits->first_token_ns) &&
           is_within(answer_ns, limits->first_answer_ns) &&
           is_within(token_ns(s->marks, s->tokens), limits->token_ns) &&
           is_within(ended_ns - from_ns, limits->latency_ns);
}

static void record_times(const struct stream *s, int64_t came_ns, struct histogram *service, struct histogram *response)
{
    if (came_ns == 0)
        return;
    histogram_record(service, came_ns - s->started_ns);
    if (s->due_ns)
        histogram_record(response, came_ns - s->due_ns);
}

static void record_stream(struct token_figures *f, const struct stream *s)
{
    const struct token_marks *marks = s->marks;
    union token_counters *counters = &f->counters;
    union token_histograms *histograms = &f->histograms;
    counter_add(&counters->output_tokens, s->tokens);
    counter_add(&counters->chunks, marks->chunks);
    counter_add(&counters->events, marks->events);
    counter_add(&counters->event_reads, marks->reads);
    counter_add(&counters->stamped_reads, marks->stamped_reads);
    counter_add(&counters->uncounted_streams, marks->output_tokens == TOKENS_UNKNOWN);
    counter_add(&counters->good_streams, s->is_good);
    record_times(s, marks->first_event_ns, &histograms->first_events, &histograms->first_events_due);
    record_times(s, marks->first_content_ns, &histograms->first_tokens, &histograms->first_tokens_due);
    record_times(s, marks->first_answer_ns, &histograms->first_answers, &histograms->first_answers_due);
    if (s->tokens > 1)
        histogram_record(&histograms->token_times, token_ns(marks, s->tokens));
    for (uint64_t i = 0; i + 1 < marks->chunks; i++)
        histogram_record(&histograms->chunk_gaps, marks->gaps_ns[i]);
    histogram_record(&histograms->output_lengths, (int64_t)s->tokens * NS_A_TOKEN);
    if (marks->input_tokens > 0) {
        counter_add(&counters->input_tokens, (uint64_t)marks->input_tokens);
        histogram_record(&histograms->input_lengths, marks->input_tokens * NS_A_TOKEN);
    }
}

static void record_steady(struct token_figures *f, const struct steady_part *steady, const struct stream *s)
{
    counter_add(&f->counters.steady_worker_ns, (uint64_t)steady->worker_ns);
    counter_add(&f->counters.steady_stream_ns, (uint64_t)steady->stream_ns);
    if (s == NULL)
        return;
    double millis = 1000 * steady->share;
    counter_add(&f->counters.steady_millitokens, (uint64_t)llround(millis * (double)s->tokens));
    counter_add(&f->counters.steady_millistreams, (uint64_t)llround(millis));
    counter_add(&f->counters.steady_milligood, s->is_good ? (uint64_t)llround(millis) : 0);
}

/* Find the figures that the stream belongs to: of the whole, and of each part; return their number. */
static int figures_of(struct iothread *t, const struct worker *w, const struct request *request,
                      struct token_figures *found[1 + DIMENSIONS])
{
    uint32_t places[DIMENSIONS];
    int count = count_places(t, w, request, places);
    found[0] = &t->tokens[0];
    for (int i = 0; i < count; i++)
        found[1 + i] = &t->tokens[1 + places[i]];
    return 1 + count;
}

static void record_end(struct token_figures *f, const struct stream *s, bool succeeded, bool is_measured)
{
    if (!is_measured)
        counter_add(&f->counters.other_chunks, s->marks->chunks);
    else if (!succeeded)
        counter_add(&f->counters.failed_chunks, s->marks->chunks);
    else
        record_stream(f, s);
}

void count_tokens(struct iothread *t, struct worker *w, const struct request *request, const struct token_marks *marks,
                  int64_t ended_ns, bool is_measured)
{
    struct token_figures *found[1 + DIMENSIONS];
    struct steady_part steady;
    struct stream stream = {.marks = marks, .started_ns = request->started_ns, .due_ns = request->arrival.due_ns};
    bool succeeded = w->check.kind == FAILURE_NONE;
    int count = figures_of(t, w, request, found);
    stream.tokens = token_marks_tokens(marks);
    stream.is_good = succeeded && is_good(&stream, &request->kind->tokens.limits, ended_ns);
    steady_stream_ended(t->run, w, request->started_ns, ended_ns, &steady);
    for (int i = 0; i < count; i++) {
        record_steady(found[i], &steady, succeeded ? &stream : NULL);
        record_end(found[i], &stream, succeeded, is_measured);
    }
}

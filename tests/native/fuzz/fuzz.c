#include "fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sanitizer/asan_interface.h>

#include "splitmix.h"

#define PIECE_BYTES_MAX 300
#define FUZZ_PIECES 2 /* of a request */
#define FNV_OFFSET 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u
#define ANYTHING 0

uint64_t fuzz_successes, fuzz_failures;

void fuzz_check(bool holds, const char *what, const char *file, int line)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

uint64_t fuzz_below(uint64_t *state, uint64_t limit)
{
    return splitmix_next(state) % limit;
}

void fuzz_add(struct fuzz_text *text, const void *bytes, size_t count)
{
    size_t left = text->room - text->count;
    count = count < left ? count : left;
    if (count > 0)
        memcpy(text->bytes + text->count, bytes, count);
    text->count += count;
}

void fuzz_print(struct fuzz_text *text, const char *format, ...)
{
    char printed[1024];
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(printed, sizeof printed, format, arguments);
    va_end(arguments);
    FUZZ_CHECK(count >= 0 && (size_t)count < sizeof printed, "a text is longer than its room");
    fuzz_add(text, printed, (size_t)count);
}

/* A reader, the bytes that it is still to get, and what it said so far. */
struct stream {
    const struct fuzz_case *given;
    void *reader;
    struct replycheck check;
    char *output;
    const char *bytes;
    size_t count;
    size_t fed;
    char *poisoned; /* the room that nothing came to */
    size_t poisoned_bytes;
    uint64_t cuts; /* the state of the random cuts; 0: every byte is a piece */
    uint64_t said; /* a hash of all outcomes; of streams, of one */
    uint64_t said_of_streams; /* the sum of those that ended */
    bool broke_rules;         /* a stream did, or their connection */
};

static void say(struct stream *s, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        s->said = (s->said ^ ((const unsigned char *)bytes)[i]) * FNV_PRIME;
}

static size_t output_room(const struct fuzz_case *given)
{
    return given->kind ? given->kind->output_bytes_max : 0;
}

/* The bytes of it that a success has filled: all, where its size is known beforehand. */
static size_t output_bytes(const struct fuzz_case *given, const struct replycheck *check)
{
    bool is_known = given->kind->output_bytes == given->kind->output_bytes_max;
    return is_known ? given->kind->output_bytes : check->first_bytes;
}

static void unpoison(struct stream *s)
{
    ASAN_UNPOISON_MEMORY_REGION(s->poisoned, s->poisoned_bytes);
    s->poisoned_bytes = 0;
}

/* One piece, in a room whose rest must not be read. */
static void feed(struct stream *s)
{
    size_t room = 0;
    unpoison(s);
    char *to = s->given->protocol->room(s->reader, &room);
    FUZZ_CHECK(to != NULL && room > 0, "no room, though all that came is judged");
    size_t most = s->cuts ? 1 + fuzz_below(&s->cuts, PIECE_BYTES_MAX) : 1;
    size_t piece = s->count - s->fed;
    piece = piece < most ? piece : most;
    piece = piece < room ? piece : room;
    memcpy(to, s->bytes + s->fed, piece);
    s->fed += piece;
    s->given->protocol->came(s->reader, piece);
    if (piece + 1 < room) { /* hiredis ends its text with a byte of its own */
        s->poisoned = to + piece + 1;
        s->poisoned_bytes = room - piece - 1;
        ASAN_POISON_MEMORY_REGION(s->poisoned, s->poisoned_bytes);
    }
}

/* Whether nothing can come of the connection after a request has ended. */
static bool is_last(const struct stream *s, size_t ended)
{
    const struct protocol *protocol = s->given->protocol;
    if (protocol->streams)
        return ended == s->given->requests;
    return protocol->is_last && protocol->is_last(s->reader);
}

/* The same as connection_receive does, for bytes that are here. */
static enum io_status next_reply(struct stream *s)
{
    const struct protocol *protocol = s->given->protocol;
    enum io_status status = protocol->has_unjudged(s->reader) ? protocol->judge(s->reader) : IO_AGAIN;
    while (status == IO_AGAIN && s->fed < s->count) {
        feed(s);
        status = protocol->judge(s->reader);
        if (protocol->streams)
            s->given->send(s->reader);
    }
    if (status == IO_AGAIN && s->given->peer_ends) {
        status = protocol->ended(s->reader);
        FUZZ_CHECK(status != IO_AGAIN, "waits for a peer that has ended");
    }
    return status;
}

static void check_message(const struct replycheck *check)
{
    FUZZ_CHECK(check->kind < FAILURE_KINDS, "a failure of no kind");
    size_t length = strnlen(check->message, ERRSTR_BYTES);
    FUZZ_CHECK(length < ERRSTR_BYTES, "a failure's words have no end");
    for (size_t i = 0; i < length; i++)
        FUZZ_CHECK((unsigned char)check->message[i] >= ' ', "a failure's words are no line of text");
}

/* Say what came of a stream of tokens, but for times. */
static void say_marks(struct stream *s)
{
    const struct stream_protocol *streams = s->given->protocol->streams;
    if (streams->marks == NULL)
        return;
    const struct token_marks *m = streams->marks(s->reader);
    const uint64_t counts[] = {
        m->events,
        m->chunks,
        (uint64_t)m->output_tokens,
        (uint64_t)m->input_tokens,
        m->first_event_ns != 0,
        m->first_content_ns != 0,
        m->first_answer_ns != 0,
        m->last_content_ns != 0,
        m->finished_ns != 0,
        m->ended_ns != 0,
    };
    say(s, counts, sizeof counts);
}

/* Streams that end together may do so in any order: what is said of each is added to what is said of the others. */
static void add_stream(struct stream *s)
{
    struct stream_end end = {0};
    if (s->check.kind == FAILURE_PROTOCOL)
        s->broke_rules = true;
    else
        s->given->protocol->streams->ended(s->reader, &end);
    say(s, &end.slot, sizeof end.slot);
    say_marks(s);
    s->said_of_streams += s->said;
    s->said = FNV_OFFSET;
}

/* A request ended; tell of it. */
static void outcome(struct stream *s, enum io_status status, size_t from)
{
    const struct protocol *protocol = s->given->protocol;
    if (status == IO_DONE && s->check.kind == FAILURE_NONE && protocol->settle)
        protocol->settle(s->reader);
    FUZZ_CHECK(status == IO_DONE || s->check.kind != FAILURE_NONE, "lost without a failure");
    say(s, &status, sizeof status);
    say(s, &s->check.kind, sizeof s->check.kind);
    if (s->check.kind != FAILURE_NONE) {
        check_message(&s->check);
        say(s, s->check.message, strlen(s->check.message));
        fuzz_failures++;
        return;
    }
    fuzz_successes++;
    if (s->check.output)
        say(s, s->check.output, output_bytes(s->given, &s->check));
    if (s->cuts == 0) /* the last byte that came is the last that the judge took */
        s->given->on_success(s->given, s->reader, s->bytes + from, s->fed - from, s->check.output);
}

/* Judge all; `filling` is what the outputs hold before. Returns the hash of what was said; ANYTHING where a stream
 * broke the rules: what follows that depends on whether the peer could know it. */
static uint64_t judge_stream(const struct fuzz_case *given, const char *bytes, size_t count,
                             uint64_t cuts, int filling)
{
    struct stream s = {.given = given, .bytes = bytes, .count = count, .cuts = cuts, .said = FNV_OFFSET};
    size_t text_bytes = given->kind ? given->kind->text_bytes : RESP_TEXT_BYTES, ended = 0;
    enum io_status status = IO_DONE;
    s.output = given->copies_output ? malloc(output_room(given)) : NULL;
    s.check.expected = given->kind;
    struct reader_size size = {.unjudged_bytes = output_room(given) + text_bytes, .requests = FUZZ_STREAMS,
                               .pieces = FUZZ_PIECES,
                               .shared = given->protocol->share ? given->protocol->share() : NULL};
    s.reader = given->protocol->open(&s.check, &size);
    FUZZ_CHECK(s.reader != NULL, "out of memory");
    if (given->protocol->streams)
        given->begin(given, s.reader);
    while (status == IO_DONE) {
        size_t from = given->protocol->streams ? 0 : s.fed;
        if (s.output)
            memset(s.output, filling, output_room(given));
        replycheck_start(&s.check, s.output);
        status = next_reply(&s);
        if (status != IO_AGAIN)
            outcome(&s, status, from);
        if (status != IO_AGAIN && given->protocol->streams)
            add_stream(&s);
        if (status == IO_DONE && is_last(&s, ++ended))
            status = IO_FAILED;
    }
    unpoison(&s);
    given->protocol->close(s.reader);
    free(size.shared);
    free(s.output);
    return s.broke_rules ? ANYTHING : given->protocol->streams ? s.said_of_streams : s.said;
}

void fuzz_judge(const struct fuzz_case *given, const char *bytes, size_t count)
{
    uint64_t by_bytes = judge_stream(given, bytes, count, 0, 0x55);
    uint64_t by_pieces = judge_stream(given, bytes, count, given->cuts_seed | 1, 0xaa);
    /* Where a success left its output as it was, the fillings differ. */
    FUZZ_CHECK(by_bytes == by_pieces || by_bytes == ANYTHING || by_pieces == ANYTHING,
               "cut differently, it is judged differently");
}

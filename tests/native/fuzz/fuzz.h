/* Fuzzing a protocol's judge: bytes as a server may send them are fed to its reader, cut in pieces at
 * random, and what it says of them is held against what has to be true of any judge.
 *
 * A target defines what is declared here, and LLVMFuzzerTestOneInput by fuzz_judge; libFuzzer and AFL++ drive
 * that as it is. Where neither is, main.c makes the inputs, from a seed.
 *
 * Memory: what a caller gives stays the caller's. Threads: one.
 */
#ifndef AIBENCH_FUZZ_H
#define AIBENCH_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kind.h"

#define FUZZ_INPUT_BYTES_MAX (64 * 1024)
#define FUZZ_STREAMS 4 /* requests that are under way on a connection of streams */

/* End the program, the input kept, unless `holds`; `what` says what does not. */
#define FUZZ_CHECK(holds, what) fuzz_check((holds), (what), __FILE__, __LINE__)
void fuzz_check(bool holds, const char *what, const char *file, int line);

/* How a stream of replies is judged. */
struct fuzz_case {
    const struct protocol *protocol;
    const struct request_kind *kind; /* NULL: a greeting */
    bool copies_output; /* the check has somewhere to copy the outputs to */
    bool peer_ends;     /* the peer closes the connection behind the bytes */
    uint64_t cuts_seed;
    size_t requests; /* of a protocol of streams: how many are under way */
    /* Of a protocol of streams: begin the requests on a new connection, and send what there is to send. */
    void (*begin)(const struct fuzz_case *given, void *reader);
    void (*send)(void *reader);
    /* Told of each request that ended well: its reader, the bytes that the judge took for its replies, or with streams
     * all bytes so far, and its output or NULL. */
    void (*on_success)(const struct fuzz_case *given, const void *reader, const char *bytes, size_t count,
                       const char *output);
};

/* Judge the bytes twice, one by one and cut at random, and hold both against each other. */
void fuzz_judge(const struct fuzz_case *given, const char *bytes, size_t count);

/* How many requests ended well, and how many failed. */
extern uint64_t fuzz_successes, fuzz_failures;

/* Random choices of a generator. */
uint64_t fuzz_below(uint64_t *state, uint64_t limit);

/* Text that is put together; it is cut off where there is no more room. */
struct fuzz_text {
    char *bytes;
    size_t room;
    size_t count;
};

void fuzz_add(struct fuzz_text *text, const void *bytes, size_t count);
void fuzz_print(struct fuzz_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Of the target: an input that a server could have sent, or nearly. */
void fuzz_generate(struct fuzz_text *input, uint64_t *state);

/* Of the target: words that mean something in its protocol, up to a NULL. */
extern const char *const fuzz_words[];

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

#endif

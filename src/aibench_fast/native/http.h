/* HTTP/1.1 with the replies of the Open Inference Protocol, parsed by llhttp. The status and the outputs' names,
 * datatypes, shapes and sizes are judged. A reply whose JSON equals the trial's, byte for byte, needs no more than this
 * comparison. Any other is read by yyjson after its latency was taken; values in JSON are then converted to binary.
 *
 * An output of strings has as many strings as its shape says, and they must fill it exactly.
 *
 * http_any_protocol is HTTP/1.1 alone: a reply of any endpoint is judged by its status, and by a rule for its body.
 *
 * Memory and threads: see protocol.h; a plan is read-only and shared. A reply in JSON, or with strings, that is longer
 * than any before it on its connection gets more room when it comes.
 * Units: bytes.
 */
#ifndef AIBENCH_HTTP_H
#define AIBENCH_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "oip.h"
#include "protocol.h"

#define HTTP_STATUSES_MAX 600
#define HTTP_STATUS_WORDS ((HTTP_STATUSES_MAX + 63) / 64)

/* What the body of a success has to be. */
enum http_body_rule { HTTP_BODY_ANY, HTTP_BODY_SAME_SIZE, HTTP_BODY_JSON };

struct http_plan {
    const char *json; /* the JSON part of the trial's reply; empty if the whole reply was JSON */
    size_t json_bytes;
    size_t json_bytes_max; /* of a reply in JSON that may be longer than usual; otherwise 0 */
    struct oip_outputs outputs;
    /* Of http_any_protocol alone: */
    uint64_t successes[HTTP_STATUS_WORDS]; /* a bit for each status */
    enum http_body_rule body_rule;
    size_t body_bytes; /* of the trial's reply */
};

extern const struct protocol http_protocol;
extern const struct protocol http_any_protocol;

/* Judge one whole reply in the way that a run of a protocol over HTTP/1.1 does. The check is started, and its
 * `expected` is set. Allocates and frees its own memory. */
void http_judge(const struct protocol *protocol, struct replycheck *check, const char *bytes, size_t count);

/* The version of the llhttp that is linked in. */
const char *http_library_version(void);

#endif

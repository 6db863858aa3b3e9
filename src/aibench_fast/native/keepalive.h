/* After how many replies a server closes a connection without saying so, as far as that is known.
 *
 * A server that does so resets the connection where the next request is there already. That looks the same as a
 * crash over that request. Of the first reset that came at once it is assumed that the server closes each
 * connection after so many replies, and the request is sent again. The next connection with as many replies is left
 * alone for a moment: if it is closed then, that was right, and connections are not used for more from then on.
 * If not, each later reset is a lost request.
 *
 * Memory: the caller's. Threads: any number, but keepalive_init.
 */
#ifndef AIBENCH_KEEPALIVE_H
#define AIBENCH_KEEPALIVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define KEEPALIVE_PROBE_MS 50
#define KEEPALIVE_RESET_MS 5 /* "at once" */

struct keepalive {
    _Atomic int64_t replies; /* below 0: so many are assumed; or one of the next two */
};

#define KEEPALIVE_UNKNOWN INT64_MAX
#define KEEPALIVE_UNLIMITED INT64_MIN

/* Whether a connection with so many replies is of no more use. Inline, for it is asked behind every reply. */
static inline bool keepalive_is_over(const struct keepalive *k, uint32_t replies)
{
    return atomic_load_explicit(&k->replies, memory_order_relaxed) == replies;
}

/* Whether a connection with so many replies is to be left alone for KEEPALIVE_PROBE_MS. */
static inline bool keepalive_is_probed(const struct keepalive *k, uint32_t replies)
{
    return atomic_load_explicit(&k->replies, memory_order_relaxed) == -(int64_t)replies;
}

/* `closes_each`: the server is known to close connections behind the first reply. */
void keepalive_init(struct keepalive *k, bool closes_each);

/* A connection was reset after so many replies, `after_ns` after the next request was sent: may the server have
 * closed it without regard to that? */
bool keepalive_may_explain(struct keepalive *k, uint32_t replies, int64_t after_ns);

/* A connection that was left alone was closed by the server, or not. */
void keepalive_probed(struct keepalive *k, uint32_t replies, bool closed);

#endif

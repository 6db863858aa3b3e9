/* After how many replies a server closes a connection without announcing it, as far as known.
 *
 * If the next request has arrived by then, such a server resets the connection. A crash during that request looks the
 * same. After the first reset that comes at once, the client assumes that the server closes each connection after this
 * number of replies, and sends the request again. The next connection with this number of replies is left alone for a
 * moment. If the server closes it, the assumption was right, and from then on connections are not used beyond it. If
 * not, each later reset is a lost request.
 *
 * Memory: the caller's. Units: replies; times in nanoseconds.
 * Threads: any number, but keepalive_init comes before they start.
 */
#ifndef AIBENCH_KEEPALIVE_H
#define AIBENCH_KEEPALIVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define KEEPALIVE_PROBE_MS 50
#define KEEPALIVE_RESET_MS 5 /* "at once" */

struct keepalive {
    _Atomic int64_t replies; /* after how many; negative: an assumption, not tested yet; or one of the next two */
};

#define KEEPALIVE_UNKNOWN INT64_MAX
#define KEEPALIVE_UNLIMITED INT64_MIN

/* Return whether a connection with `replies` replies must not be used again. Inline, because each reply comes here. */
static inline bool keepalive_is_over(const struct keepalive *k, uint32_t replies)
{
    return atomic_load_explicit(&k->replies, memory_order_relaxed) == replies;
}

/* Return whether to leave a connection with `replies` replies alone for KEEPALIVE_PROBE_MS. */
static inline bool keepalive_is_probed(const struct keepalive *k, uint32_t replies)
{
    return atomic_load_explicit(&k->replies, memory_order_relaxed) == -(int64_t)replies;
}

/* `closes_each`: the server is known to close each connection after the first reply. */
void keepalive_init(struct keepalive *k, bool closes_each);

/* A connection with `replies` replies was reset, `after_ns` after the next request was sent. Return whether the server
 * may have closed it before that request arrived. */
bool keepalive_may_explain(struct keepalive *k, uint32_t replies, int64_t after_ns);

/* A connection was left alone; `closed`: the server closed it. */
void keepalive_probed(struct keepalive *k, uint32_t replies, bool closed);

#endif

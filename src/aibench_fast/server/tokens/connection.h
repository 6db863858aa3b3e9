/* A client's connection: requests are read, and bytes of replies wait here until the socket takes them.
 *
 * Memory: connection_open allocates, connection_close frees. Threads: one.
 */
#ifndef AIBENCH_TOKENS_CONNECTION_H
#define AIBENCH_TOKENS_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llhttp.h>

#include "stream.h"

#define TARGET_BYTES 128

struct bytes {
    char *data;
    size_t length;
    size_t room;
};

struct connection {
    int fd;
    uint16_t port;     /* the client's */
    uint32_t requests; /* how many came before this one */
    llhttp_t parser;
    bool has_request;     /* which is not answered yet */
    char target[TARGET_BYTES]; /* its path, cut at the room that there is */
    size_t target_length;
    struct bytes body; /* with ASKED_PADDING behind it */
    struct bytes unsent;
    size_t sent;           /* of `unsent` */
    bool is_broken;        /* nothing more can be sent */
    bool closes_when_sent; /* after this reply */
    struct stream stream;
};

enum received { RECEIVED_PART, RECEIVED_REQUEST, RECEIVED_END };

/* Take over a socket. Return NULL without memory. */
struct connection *connection_open(int fd, uint16_t port);
void connection_close(struct connection *c);

/* Read what came. A request that is whole has to be answered before the next one comes. */
enum received connection_receive(struct connection *c);

/* Send bytes, in so many segments. What the socket does not take is kept for connection_flush. */
void connection_send(struct connection *c, const char *bytes, size_t length, int64_t segments);

/* Send more of what was kept. */
void connection_flush(struct connection *c);

/* The reply was given whole: the next request may come. */
void connection_replied(struct connection *c);

/* End the connection at once, for the client to see. It is closed when its last event comes. */
void connection_end(struct connection *c);

#endif

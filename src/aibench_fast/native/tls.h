/* TLS over a connected, nonblocking socket, with OpenSSL 3. In a build without OpenSSL's headers tls_create fails and
 * says so.
 *
 * A `struct tls` belongs to all connections of a run: whom to trust, our own certificate, and the newest session, which
 * saves a new connection most of its handshake. A `struct tls_link` belongs to one connection.
 *
 * Memory: tls_create and tls_link_open allocate, tls_free and tls_link_close free; a tls outlives its links. Bytes are
 * encrypted from where they lie. Pieces that fit into one record (16 KiB) together are copied there first, which costs
 * less than a record for each.
 * Units: bytes. Return codes: at each function.
 * Threads: any number may open links of one tls; one at a time uses a link.
 * Signals: SIGBUS shows that a mapped file shrank while it was sent from; tls_create sets a handler for it, once in a
 * process, which passes on any other SIGBUS. The threads that send must not block it.
 */
#ifndef AIBENCH_TLS_H
#define AIBENCH_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "errstr.h"
#include "iostatus.h"

struct tls_config {
    const char *ca_file;     /* PEM, whom to trust; or NULL */
    const char *ca_folder;   /* the same, a folder by hashes; or NULL */
    const char *certificate; /* PEM, our own with its chain; or NULL */
    const char *key;         /* PEM, of our certificate */
    const char *server_name; /* the server's certificate must be for this name or address */
    bool insecure;           /* accept any certificate */
    bool http2;              /* speak HTTP/2, which the server has to choose by ALPN */
};

struct tls;
struct tls_link;

/* Read the files. The strings are not needed after. Return NULL with the reason in `errstr` on failure. */
struct tls *tls_create(const struct tls_config *config, errstr_t errstr);

void tls_free(struct tls *tls);

/* Begin TLS on a socket, which the caller still owns. Return NULL without memory. */
struct tls_link *tls_link_open(struct tls *tls, int fd);

/* Continue the handshake as far as the socket allows. IO_FAILED: the reason is in `errstr`. */
enum io_status tls_handshake(struct tls_link *link, errstr_t errstr);

/* Return whether the handshake waits to send, not to receive. */
bool tls_wants_to_send(const struct tls_link *link);

/* Encrypt and send from the front of `count` pieces. Return how many bytes were sent, which may be fewer than the
 * socket takes; or -1 with errno: EAGAIN, EFAULT if a mapped file shrank, or another, which tls_error explains.
 * After EAGAIN the next call must begin with the same bytes. */
ssize_t tls_send(struct tls_link *link, const struct iovec *iov, size_t count);

/* Receive up to `room` bytes. Return how many; 0 at the peer's orderly end; or -1 with errno as above. A connection
 * that is cut before its orderly end is an error. `*more`: more can be received at once. */
ssize_t tls_receive(struct tls_link *link, char *to, size_t room, bool *more);

/* Describe the last error. */
const char *tls_error(const struct tls_link *link);

/* Set the protocol's version and the cipher, as OpenSSL names them; both static. */
void tls_describe(const struct tls_link *link, const char **version, const char **cipher);

/* Send the closing alert without waiting, and free the link. */
void tls_link_close(struct tls_link *link);

#endif

/* TLS over a connected, nonblocking socket, by OpenSSL 3; a build without OpenSSL's headers has none, and
 * says so where it is asked for.
 *
 * A `struct tls` is what all connections of a run have in common: whom to trust, as whom to come, and the
 * newest session, which spares a connection made again the larger part of its handshake. A `struct
 * tls_link` is one connection's.
 *
 * Memory: tls_create and tls_link_open allocate, tls_free and tls_link_close free; a tls outlives its links.
 * What is sent is encrypted from where it lies. Pieces that fit into one record (16 KiB) together are put
 * there first, which costs less than a record for each.
 * Threads: any number open links of one tls; one at a time uses a link.
 * Signals: a file mapped that shrinks while it is sent from is found by SIGBUS, for which tls_create sets a
 * handler, once a process; it passes on what is not its own. The threads that send must not block it.
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
    const char *ca_folder;   /* the same, by hashes; or NULL */
    const char *certificate; /* PEM, our own with its chain; or NULL */
    const char *key;         /* of it, PEM */
    const char *server_name; /* that the server's certificate has to be for: a name or an address */
    bool insecure;           /* take any certificate */
};

struct tls;
struct tls_link;

/* Read the files. Returns NULL with the reason in `errstr`; the strings are not needed any more then. */
struct tls *tls_create(const struct tls_config *config, errstr_t errstr);

void tls_free(struct tls *tls);

/* Begin with TLS on a socket, which stays the caller's. Returns NULL without memory. */
struct tls_link *tls_link_open(struct tls *tls, int fd);

/* Go on with the handshake as far as the socket lets it. IO_FAILED: the reason is in `errstr`. */
enum io_status tls_handshake(struct tls_link *link, errstr_t errstr);

/* Whether the handshake waits for room to send in, and not for something to come. */
bool tls_wants_to_send(const struct tls_link *link);

/* Encrypt and send from the front of `count` pieces. Returns how many bytes went, maybe not all that would
 * go; or -1 with errno: EAGAIN, EFAULT where a mapped file shrank, or another, as tls_error says. After
 * EAGAIN the same bytes have to come first. */
ssize_t tls_send(struct tls_link *link, const struct iovec *iov, size_t count);

/* Receive what has come, up to `room` bytes. Returns 0 at the peer's orderly end, or -1 with errno as
 * above; a connection cut short of that end is an error. `*more`: there is more to be had at once. */
ssize_t tls_receive(struct tls_link *link, char *to, size_t room, bool *more);

/* What the last error was. */
const char *tls_error(const struct tls_link *link);

/* The protocol's version and the cipher, as OpenSSL names them; static. */
void tls_describe(const struct tls_link *link, const char **version, const char **cipher);

/* Take leave of the peer, without waiting, and give back what the link used. */
void tls_link_close(struct tls_link *link);

#endif

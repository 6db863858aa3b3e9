/* A build without OpenSSL: tls_create fails, so the other functions are never called. */
#include "tls.h"

#ifndef WITH_OPENSSL

#include <errno.h>
#include <stdio.h>

struct tls *tls_create(const struct tls_config *config, errstr_t errstr)
{
    (void)config;
    snprintf(errstr, ERRSTR_BYTES,
             "this build has no TLS, because OpenSSL's headers were missing: install libssl-dev, and install "
             "aibench-fast again");
    return NULL;
}

void tls_free(struct tls *tls)
{
    (void)tls;
}

struct tls_link *tls_link_open(struct tls *tls, int fd)
{
    (void)tls;
    (void)fd;
    return NULL;
}

enum io_status tls_handshake(struct tls_link *link, errstr_t errstr)
{
    (void)link;
    errstr[0] = '\0';
    return IO_FAILED;
}

bool tls_wants_to_send(const struct tls_link *link)
{
    (void)link;
    return false;
}

ssize_t tls_send(struct tls_link *link, const struct iovec *iov, size_t count)
{
    (void)link;
    (void)iov;
    (void)count;
    errno = ENOSYS;
    return -1;
}

ssize_t tls_receive(struct tls_link *link, char *to, size_t room, bool *more)
{
    (void)link;
    (void)to;
    (void)room;
    *more = false;
    errno = ENOSYS;
    return -1;
}

const char *tls_error(const struct tls_link *link)
{
    (void)link;
    return "no TLS";
}

void tls_describe(const struct tls_link *link, const char **version, const char **cipher)
{
    (void)link;
    *version = *cipher = "";
}

void tls_link_close(struct tls_link *link)
{
    (void)link;
}

#endif

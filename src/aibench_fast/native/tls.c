#include "tls.h"

#ifdef WITH_OPENSSL

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "mapguard.h"

#define RECORD_BYTES SSL3_RT_MAX_PLAIN_LENGTH
#define READ_AHEAD_BYTES (64 * 1024)
#define HTTP2_PROTOCOL "\x02h2" /* as ALPN lists it: behind its length */

struct tls {
    SSL_CTX *context;
    BIO_METHOD *socket_method;
    char *server_name;
    bool is_address; /* server_name is an address, not a name */
    bool http2;      /* the server has to choose it */
    pthread_mutex_t mutex; /* guards `session` */
    SSL_SESSION *session;  /* the newest; NULL: none yet */
};

struct tls_link {
    SSL *ssl;
    int fd;
    bool is_drained; /* the last read took everything; epoll reports more */
    bool cannot_send; /* sending failed with `error`; earlier bytes can still be received */
    bool is_over;    /* nothing more can be sent or received, for the reason in the next two */
    int error;       /* an errno, or 0 after the peer's orderly end */
    errstr_t why;
    char gathered[RECORD_BYTES];
};

static int socket_write(BIO *bio, const char *bytes, size_t count, size_t *written)
{
    struct tls_link *link = BIO_get_data(bio);
    ssize_t sent = send(link->fd, bytes, count, MSG_NOSIGNAL);
    BIO_clear_retry_flags(bio);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    *written = sent > 0 ? (size_t)sent : 0;
    return sent > 0;
}

static int socket_read(BIO *bio, char *to, size_t room, size_t *got)
{
    struct tls_link *link = BIO_get_data(bio);
    ssize_t came = -1;
    BIO_clear_retry_flags(bio);
    errno = EAGAIN;
    if (!link->is_drained)
        came = recv(link->fd, to, room, 0);
    if (came < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    if (came == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    link->is_drained = came < (ssize_t)room && came != 0;
    *got = came > 0 ? (size_t)came : 0;
    return came > 0;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF)
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return command == BIO_CTRL_FLUSH; /* nothing is buffered */
}

static BIO_METHOD *new_socket_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    if (method != NULL) {
        BIO_meth_set_write_ex(method, socket_write);
        BIO_meth_set_read_ex(method, socket_read);
        BIO_meth_set_ctrl(method, socket_control);
    }
    return method;
}

/* Keep the session that the server offers for the next connection. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    pthread_mutex_lock(&tls->mutex);
    SSL_SESSION *older = tls->session;
    tls->session = session;
    pthread_mutex_unlock(&tls->mutex);
    SSL_SESSION_free(older);
    return 1; /* we keep the reference */
}

/* Copy OpenSSL's message for its first error. */
static const char *reason(unsigned long code)
{
    const char *words = code ? ERR_reason_error_string(code) : NULL;
    return words ? words : "no reason given";
}

static bool configure(struct tls *tls, const struct tls_config *config, errstr_t errstr)
{
    SSL_CTX *context = tls->context;
    SSL_CTX_set_app_data(context, tls);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD_BYTES);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    /* Returns 0 for success, unlike its neighbours; without memory the server's choice is missing later. */
    if (config->http2)
        SSL_CTX_set_alpn_protos(context, (const unsigned char *)HTTP2_PROTOCOL, sizeof HTTP2_PROTOCOL - 1);
    SSL_CTX_set_verify(context, config->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    ERR_clear_error();
    if ((config->ca_file || config->ca_folder) &&
        !SSL_CTX_load_verify_locations(context, config->ca_file, config->ca_folder)) {
        snprintf(errstr, ERRSTR_BYTES, "the certificates to trust: %s", reason(ERR_peek_error()));
        return false;
    }
    if (config->certificate &&
        (SSL_CTX_use_certificate_chain_file(context, config->certificate) != 1 ||
         SSL_CTX_use_PrivateKey_file(context, config->key, SSL_FILETYPE_PEM) != 1)) {
        snprintf(errstr, ERRSTR_BYTES, "the client's certificate and key: %s", reason(ERR_peek_error()));
        return false;
    }
    return true;
}

struct tls *tls_create(const struct tls_config *config, errstr_t errstr)
{
    struct in6_addr address;
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return NULL;
    }
    mapguard_install();
    pthread_mutex_init(&tls->mutex, NULL);
    tls->context = SSL_CTX_new(TLS_client_method());
    tls->socket_method = new_socket_method();
    tls->server_name = strdup(config->server_name);
    if (tls->context == NULL || tls->socket_method == NULL || tls->server_name == NULL) {
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        tls_free(tls);
        return NULL;
    }
    tls->http2 = config->http2;
    tls->is_address = inet_pton(AF_INET, tls->server_name, &address) == 1 ||
                      inet_pton(AF_INET6, tls->server_name, &address) == 1;
    if (!configure(tls, config, errstr)) {
        tls_free(tls);
        return NULL;
    }
    return tls;
}

void tls_free(struct tls *tls)
{
    SSL_SESSION_free(tls->session);
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->socket_method);
    free(tls->server_name);
    pthread_mutex_destroy(&tls->mutex);
    free(tls);
}

static bool name_server(const struct tls *tls, SSL *ssl)
{
    if (tls->is_address)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), tls->server_name) == 1;
    return SSL_set_tlsext_host_name(ssl, tls->server_name) == 1 &&
           SSL_set1_host(ssl, tls->server_name) == 1;
}

struct tls_link *tls_link_open(struct tls *tls, int fd)
{
    struct tls_link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return NULL;
    BIO *bio = BIO_new(tls->socket_method);
    link->fd = fd;
    link->ssl = SSL_new(tls->context);
    if (bio == NULL || link->ssl == NULL || !name_server(tls, link->ssl)) {
        BIO_free(bio);
        SSL_free(link->ssl);
        free(link);
        return NULL;
    }
    BIO_set_data(bio, link);
    BIO_set_init(bio, 1);
    SSL_set_bio(link->ssl, bio, bio);
    pthread_mutex_lock(&tls->mutex);
    if (tls->session != NULL)
        SSL_set_session(link->ssl, tls->session);
    pthread_mutex_unlock(&tls->mutex);
    return link;
}

/* After a failed call: set errno, and note it if the connection is at its end. */
static void note_error(struct tls_link *link)
{
    int system_error = errno, error = SSL_get_error(link->ssl, 0);
    unsigned long code = ERR_peek_error();
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        errno = EAGAIN;
        return;
    }
    link->is_over = true;
    if (error == SSL_ERROR_ZERO_RETURN) {
        link->error = 0;
        snprintf(link->why, sizeof link->why, "the server ended the connection");
    } else if (error == SSL_ERROR_SSL && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        link->error = ECONNRESET;
        snprintf(link->why, sizeof link->why, "the connection was cut without TLS's closing alert");
    } else if (error == SSL_ERROR_SSL) {
        link->error = EPROTO;
        snprintf(link->why, sizeof link->why, "TLS: %s", reason(code));
    } else {
        link->error = system_error ? system_error : ECONNRESET;
        snprintf(link->why, sizeof link->why, "%s", strerror(link->error));
    }
    errno = link->error;
}

/* Return whether the server chose HTTP/2, if it has to. */
static bool has_protocol(const struct tls_link *link)
{
    const struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(link->ssl));
    const unsigned char *chosen;
    unsigned int bytes;
    SSL_get0_alpn_selected(link->ssl, &chosen, &bytes);
    return !tls->http2 || (bytes == sizeof HTTP2_PROTOCOL - 2 && memcmp(chosen, HTTP2_PROTOCOL + 1, bytes) == 0);
}

enum io_status tls_handshake(struct tls_link *link, errstr_t errstr)
{
    link->is_drained = false;
    ERR_clear_error();
    if (SSL_connect(link->ssl) == 1) {
        if (has_protocol(link))
            return IO_DONE;
        snprintf(errstr, ERRSTR_BYTES, "TLS: the server does not choose HTTP/2 by ALPN");
        return IO_FAILED;
    }
    note_error(link);
    if (!link->is_over)
        return IO_AGAIN;
    long verified = SSL_get_verify_result(link->ssl);
    if (verified != X509_V_OK && SSL_get_verify_mode(link->ssl) != SSL_VERIFY_NONE)
        snprintf(errstr, ERRSTR_BYTES, "TLS: the server's certificate: %s",
                 X509_verify_cert_error_string(verified));
    else
        snprintf(errstr, ERRSTR_BYTES, "%s", link->why);
    return IO_FAILED;
}

bool tls_wants_to_send(const struct tls_link *link)
{
    return SSL_want_write(link->ssl);
}

/* Join the pieces that fit into a record. Return their size, and set where they are. */
static size_t gather(struct tls_link *link, const struct iovec *iov, size_t count, const char **from)
{
    size_t bytes = 0;
    *from = iov->iov_base;
    if (count == 1 || iov[0].iov_len + iov[1].iov_len > RECORD_BYTES)
        return iov->iov_len;
    *from = link->gathered;
    for (; count > 0 && bytes + iov->iov_len <= RECORD_BYTES; iov++, count--) {
        memcpy(link->gathered + bytes, iov->iov_base, iov->iov_len);
        bytes += iov->iov_len;
    }
    return bytes;
}

ssize_t tls_send(struct tls_link *link, const struct iovec *iov, size_t count)
{
    const char *from;
    size_t sent = 0;
    if (link->is_over || link->cannot_send) {
        errno = link->error ? link->error : EPIPE;
        return -1;
    }
    if (mapguard_enter()) {
        link->is_over = true;
        errno = link->error = EFAULT;
        return -1;
    }
    ERR_clear_error();
    size_t bytes = gather(link, iov, count, &from);
    int went = bytes == 0 || SSL_write_ex(link->ssl, from, bytes, &sent);
    mapguard_leave();
    if (went)
        return (ssize_t)sent;
    note_error(link);
    /* A server that accepts no more may have sent a reason before, which can still be read. */
    link->cannot_send = link->is_over && link->error != EPROTO;
    link->is_over = link->is_over && !link->cannot_send;
    return -1;
}

ssize_t tls_receive(struct tls_link *link, char *to, size_t room, bool *more)
{
    size_t total = 0, got;
    *more = false;
    if (!link->is_over) {
        link->is_drained = false;
        ERR_clear_error();
        while (total < room && SSL_read_ex(link->ssl, to + total, room - total, &got))
            total += got;
        if (total < room)
            note_error(link);
    }
    if (total > 0) {
        *more = total == room || link->is_over;
        return (ssize_t)total;
    }
    if (link->is_over)
        errno = link->error;
    return link->is_over && link->error == 0 ? 0 : -1;
}

const char *tls_error(const struct tls_link *link)
{
    return link->is_over ? link->why : strerror(errno);
}

void tls_describe(const struct tls_link *link, const char **version, const char **cipher)
{
    *version = SSL_get_version(link->ssl);
    *cipher = SSL_get_cipher_name(link->ssl);
}

void tls_link_close(struct tls_link *link)
{
    if (SSL_is_init_finished(link->ssl) && !link->cannot_send &&
        (!link->is_over || link->error == 0)) {
        ERR_clear_error();
        SSL_shutdown(link->ssl);
    }
    SSL_free(link->ssl);
    free(link);
}

#endif

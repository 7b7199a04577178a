/*
 * TLS over OpenSSL. Whom we trust: the system's authorities and ca_file, for this host name and no other; or,
 * when a fingerprint is configured, exactly the certificate or public key with that SHA-256, whoever signed
 * it and whatever name it carries. A fingerprint is a pin: with one, a certificate that every authority
 * vouches for is refused when it is another.
 *
 * The decision falls inside the handshake (chain) or right after it (pin), in any case before an octet of
 * IMAP is sent.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "clock.h"
#include "io.h"
#include "stream.h"

#define SHA256_HEX 65
#define HANDSHAKE_MS 30000

/* What the verify callback learns. */
struct peer {
    bool pinned;             /* the chain does not matter: the fingerprint decides */
    X509 *certificate;       /* the server's, also when the handshake fails over it; owned */
    int verify_error;        /* the first X509_V_ERR_... */
    char sha256[SHA256_HEX]; /* of that certificate */
};

static void hex(const unsigned char *digest, unsigned n, char out[SHA256_HEX])
{
    for (unsigned i = 0; i < n; i++)
        sprintf(out + 2 * i, "%02x", digest[i]);
}

static void certificate_sha256(const X509 *x, char out[SHA256_HEX])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    out[0] = '\0';
    if (x != NULL && X509_digest(x, EVP_sha256(), digest, &n) == 1)
        hex(digest, n, out);
}

static void key_sha256(X509 *x, char out[SHA256_HEX])
{
    unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    out[0] = '\0';
    if (length > 0 && EVP_Digest(der, (size_t)length, digest, &n, EVP_sha256(), NULL) == 1)
        hex(digest, n, out);
    OPENSSL_free(der);
}

/* "SHA256:AB:CD:..." in any case, with or without its decoration, against 64 hexadecimal digits. */
static bool fingerprint_is(const char *fingerprint, const char *digits)
{
    if (strncasecmp(fingerprint, "SHA256:", 7) == 0)
        fingerprint += 7;
    for (; *fingerprint != '\0'; fingerprint++) {
        if (*fingerprint == ':')
            continue;
        if (*digits == '\0' || tolower((unsigned char)*fingerprint) != *digits)
            return false;
        digits++;
    }
    return *digits == '\0';
}

static int on_verify(int ok, X509_STORE_CTX *x)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct peer *p = SSL_get_app_data(ssl);
    X509 *certificate = X509_STORE_CTX_get0_cert(x);
    certificate_sha256(certificate, p->sha256);
    if (p->certificate == NULL && certificate != NULL && X509_up_ref(certificate) == 1)
        p->certificate = certificate;
    if (!ok && p->verify_error == 0)
        p->verify_error = X509_STORE_CTX_get_error(x);
    return ok || p->pinned;
}

/* A socket BIO that raises no SIGPIPE: OpenSSL's own uses write(2). */

static int bio_write(BIO *b, const char *data, int length)
{
    const struct stream *s = BIO_get_data(b);
    ssize_t r = send(s->fd, data, (size_t)length, MSG_NOSIGNAL);
    BIO_clear_retry_flags(b);
    if (r < 0 && (errno == EWOULDBLOCK || errno == EINTR))
        BIO_set_retry_write(b);
    return (int)r;
}

static int bio_read(BIO *b, char *out, int size)
{
    const struct stream *s = BIO_get_data(b);
    ssize_t r = recv(s->fd, out, (size_t)size, 0);
    BIO_clear_retry_flags(b);
    if (r < 0 && (errno == EWOULDBLOCK || errno == EINTR))
        BIO_set_retry_read(b);
    if (r == 0)
        BIO_set_flags(b, BIO_FLAGS_IN_EOF);
    return (int)r;
}

static long bio_ctrl(BIO *b, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF)
        return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static void method_make(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "mailmount");
    if (method == NULL)
        return;
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_ctrl(method, bio_ctrl);
}

static int attach(struct stream *s, SSL *ssl)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, method_make);
    BIO *b = method != NULL ? BIO_new(method) : NULL;
    if (b == NULL)
        return -ENOMEM;
    BIO_set_data(b, s);
    BIO_set_init(b, 1);
    SSL_set_bio(ssl, b, b);
    return 0;
}

static SSL_CTX *context(const struct config_account *a, struct fault *f)
{
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    if (c == NULL) {
        fault_set(f, FAULT_UNAVAILABLE, -ENOMEM, "TLS: cannot start OpenSSL");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_default_verify_paths(c);
    if (a->ca_file != NULL && SSL_CTX_load_verify_file(c, a->ca_file) != 1) {
        fault_set(f, FAULT_CONFIG, -EINVAL, "%s: cannot read certificates (check ca_file: a PEM file)",
                  a->ca_file);
        SSL_CTX_free(c);
        return NULL;
    }
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER, on_verify);
    return c;
}

/* The name to prove and to ask for: no SNI for literal addresses (RFC 6066 3). */
static int set_name(SSL *ssl, const char *host)
{
    struct in6_addr address;
    X509_VERIFY_PARAM *v = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(v, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(v, host) == 1 ? 0 : -EINVAL;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1 ? 0 : -EINVAL;
}

static int prepare(struct stream *s, const struct config_account *a, struct peer *p, struct fault *f)
{
    static const unsigned char alpn[] = "\x04imap";
    SSL_CTX *c = context(a, f);
    if (c == NULL)
        return f != NULL ? f->err : -EINVAL;
    s->ssl = SSL_new(c);
    SSL_CTX_free(c);
    if (s->ssl == NULL || attach(s, s->ssl) < 0 || set_name(s->ssl, a->host) < 0)
        return fault_set(f, FAULT_UNAVAILABLE, -ENOMEM, "%s: TLS: cannot prepare the connection", a->host);
    SSL_set_app_data(s->ssl, p);
    SSL_set_alpn_protos(s->ssl, alpn, sizeof alpn - 1);
    return 0;
}

static int shake(struct stream *s)
{
    int64_t deadline = clock_boot_ms() + HANDSHAKE_MS;
    for (;;) {
        ERR_clear_error();
        errno = 0;
        int n = SSL_connect(s->ssl);
        if (n == 1)
            return 0;
        int why = SSL_get_error(s->ssl, n);
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
            return errno != 0 && why == SSL_ERROR_SYSCALL ? -errno : -EPROTO;
        int r = stream_poll(s->fd, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, s->cancel, deadline);
        if (r < 0)
            return r;
    }
}

static int refused_certificate(const struct config_account *a, const struct peer *p, struct fault *f)
{
    const char *host = a->host, *sha = p->sha256;
    switch (p->verify_error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return fault_set(f, FAULT_DENIED, -EACCES,
                         "%s: the server's certificate is for another name (check host; if it is the right "
                         "server, set fingerprint = "
                         "SHA256:%s)",
                         host, sha);
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return fault_set(f, FAULT_DENIED, -EACCES,
                         "%s: the server's certificate has expired (it has to be renewed there; to accept it "
                         "as it is, set fingerprint = "
                         "SHA256:%s)",
                         host, sha);
    default:
        return fault_set(f, FAULT_DENIED, -EACCES,
                         "%s: the server's certificate is not trusted: %s (set ca_file to the authority that "
                         "signed it, or fingerprint = "
                         "SHA256:%s)",
                         host, X509_verify_cert_error_string(p->verify_error), sha);
    }
}

static int handshake_fault(const struct config_account *a, const struct peer *p, int err, struct fault *f)
{
    if (p->verify_error != 0 && !p->pinned)
        return refused_certificate(a, p, f);
    unsigned long e = ERR_peek_error();
    if (ERR_GET_REASON(e) == SSL_R_WRONG_VERSION_NUMBER)
        return fault_set(
            f, FAULT_UNAVAILABLE, err,
            "%s:%u: the server does not speak TLS here (check port and tls: implicit or starttls)", a->host,
            a->port);
    const char *reason = err != -EPROTO ? strerror(-err)
                         : e != 0       ? ERR_reason_error_string(e)
                                        : "connection closed";
    return fault_set(f, FAULT_UNAVAILABLE, err, "%s:%u: TLS handshake failed: %s", a->host, a->port,
                     reason != NULL ? reason : "error");
}

static int check_pin(const struct config_account *a, X509 *x, struct fault *f)
{
    char certificate[SHA256_HEX], key[SHA256_HEX];
    certificate_sha256(x, certificate);
    key_sha256(x, key);
    if (fingerprint_is(a->fingerprint, certificate) || fingerprint_is(a->fingerprint, key))
        return 0;
    return fault_set(f, FAULT_DENIED, -EACCES,
                     "%s: the server's certificate is not the one of fingerprint (it shows SHA256:%s; ask "
                     "its operator before you change "
                     "the setting)",
                     a->host, certificate);
}

static void describe_name(BIO *b, const char *what, const X509_NAME *name)
{
    BIO_printf(b, "%s ", what);
    X509_NAME_print_ex(b, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
}

static void describe(const SSL *ssl, X509 *x, char tls[128], char certificate[512])
{
    char sha[SHA256_HEX];
    snprintf(tls, 128, "%s %s", SSL_get_version(ssl), SSL_get_cipher_name(ssl));
    certificate_sha256(x, sha);
    certificate[0] = '\0';
    BIO *b = BIO_new(BIO_s_mem());
    if (b == NULL)
        return;
    /* What identifies it comes first: names can be long, and are cut. */
    BIO_printf(b, "SHA256:%s, until ", sha);
    ASN1_TIME_print(b, X509_get0_notAfter(x));
    describe_name(b, ", subject", X509_get_subject_name(x));
    describe_name(b, ", issuer", X509_get_issuer_name(x));
    int n = BIO_read(b, certificate, 511);
    certificate[n > 0 ? n : 0] = '\0';
    BIO_free(b);
    for (char *c = certificate; *c != '\0'; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
}

int stream_start_tls(struct stream *s, const struct config_account *a, char tls[128], char certificate[512],
                     struct fault *f)
{
    struct peer p = {.pinned = a->fingerprint != NULL};
    int r = prepare(s, a, &p, f);
    if (r == 0 && (r = shake(s)) < 0)
        r = handshake_fault(a, &p, r, f);
    X509 *x = r == 0 ? SSL_get0_peer_certificate(s->ssl) : p.verify_error != 0 ? p.certificate : NULL;
    if (x != NULL)
        describe(s->ssl, x, tls, certificate);
    else if (r == 0)
        r = fault_set(f, FAULT_DENIED, -EACCES, "%s: the server shows no certificate", a->host);
    if (r == 0 && p.pinned)
        r = check_pin(a, x, f);
    X509_free(p.certificate);
    if (s->ssl != NULL)
        SSL_set_app_data(s->ssl, NULL);
    if (r < 0 && s->err == 0)
        s->err = r;
    return r;
}

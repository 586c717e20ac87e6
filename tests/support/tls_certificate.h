/* Certificates and keys for tests, made on the spot. */
#ifndef BASALT_TESTS_SUPPORT_TLS_CERTIFICATE_H
#define BASALT_TESTS_SUPPORT_TLS_CERTIFICATE_H

/* Writes `<dir>/<name>.crt` and `<dir>/<name>.key`, signed by the certificate `issuer` of the same
 * directory (NULL: by itself, as an authority), valid from a day ago for `days` days, which may be
 * negative. With `password` the key is encrypted. Fails the running test when something is wrong.
 */
struct tls_certificate {
    const char *dir;
    const char *name;
    const char *issuer;
    int days;
    const char *password; /* NULL: none */
};
void tls_certificate_make(const struct tls_certificate *what);

#endif

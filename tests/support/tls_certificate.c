#include "tests/support/tls_certificate.h"

#include "tests/support/harness.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define PATH_BYTES  1024
#define DAY_SECONDS 86400L

static FILE *open_file(const struct tls_certificate *what, const char *name, const char *suffix,
                       const char *mode)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/%s.%s", what->dir, name, suffix);
    FILE *file = fopen(path, mode);
    assert_non_null(file);
    return file;
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static X509 *fill(const struct tls_certificate *what, EVP_PKEY *key)
{
    static long serial;
    X509 *certificate = X509_new();
    assert_non_null(certificate);
    assert_int_equal(X509_set_version(certificate, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_SECONDS));
    long days = what->days < 0 ? 0 : what->days;
    long offset = what->days < 0 ? -60 : days * DAY_SECONDS;
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), offset));
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN",
                                                MBSTRING_ASC, (const unsigned char *)what->name, -1,
                                                -1, 0),
                     1);
    if (what->issuer == NULL)
        add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    return certificate;
}

static void sign(const struct tls_certificate *what, X509 *certificate, EVP_PKEY *own_key)
{
    if (what->issuer == NULL) {
        assert_int_equal(X509_set_issuer_name(certificate, X509_get_subject_name(certificate)), 1);
        assert_true(X509_sign(certificate, own_key, EVP_sha256()) > 0);
        return;
    }
    FILE *file = open_file(what, what->issuer, "crt", "r");
    X509 *issuer = PEM_read_X509(file, NULL, NULL, NULL);
    assert_int_equal(fclose(file), 0);
    file = open_file(what, what->issuer, "key", "r");
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    X509_free(issuer);
    EVP_PKEY_free(key);
}

void tls_certificate_make(const struct tls_certificate *what)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    X509 *certificate = fill(what, key);
    sign(what, certificate, key);
    FILE *file = open_file(what, what->name, "crt", "w");
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    assert_int_equal(fclose(file), 0);
    file = open_file(what, what->name, "key", "w");
    const EVP_CIPHER *cipher = what->password == NULL ? NULL : EVP_aes_128_cbc();
    const unsigned char *password = (const unsigned char *)what->password;
    int len = password == NULL ? 0 : (int)strlen(what->password);
    assert_int_equal(PEM_write_PrivateKey(file, key, cipher, password, len, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

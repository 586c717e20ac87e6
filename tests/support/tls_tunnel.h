/* TLS for the test client: a thread that carries bytes between a plain socket and a TLS connection
 * to the server, so that whatever speaks to a socket can speak to it. */
#ifndef BASALT_TESTS_SUPPORT_TLS_TUNNEL_H
#define BASALT_TESTS_SUPPORT_TLS_TUNNEL_H

struct tls_tunnel_options {
    int port;                      /* on 127.0.0.1 */
    const char *authority;         /* file that the server's certificate must come from */
    const char *certificate, *key; /* files; NULL: none are shown */
    int protocol_max;              /* 12 or 13; 0: whatever there is */
};

/* Connects and shakes hands. The plain end, to be closed by the caller (which ends the thread, as
 * the server's closing does); -1 when the handshake has failed. With TLS 1.3 a server that refuses
 * the client may say so only behind the handshake: then the plain end is closed. */
int tls_tunnel_open(const struct tls_tunnel_options *options);

#endif

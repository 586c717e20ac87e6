/* Serves the metrics over HTTP/1.1: GET /metrics on `metrics-port`, at each `bind` address. A
 * scraper is not a client of the database: it has few connections, one request on each, a bounded
 * request and a deadline, and can neither hold the server up nor ask it for anything else. Main
 * thread; never waits. */
#ifndef BASALT_SERVER_METRICS_HTTP_H
#define BASALT_SERVER_METRICS_HTTP_H

#include "codec/status.h"

struct metrics_http;
struct services;

/* Listens if metrics-port is not 0; else `*out` is NULL. `services` is borrowed. ST_IO when an
 * address cannot be listened on. */
MUST_USE enum status metrics_http_open(struct services *services, struct metrics_http **out,
                                       struct err *err);
/* Ends all connections. Accepts NULL. */
void metrics_http_close(struct metrics_http *http);

#endif

/* The server's figures for Prometheus: text format 0.0.4. Names and meanings are in
 * docs/metrics.md. Main thread. */
#ifndef BASALT_SERVER_METRICS_H
#define BASALT_SERVER_METRICS_H

#include "codec/buf.h"

struct services;

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends all metrics. */
void metrics_write(const struct services *services, struct buf *out);

#endif

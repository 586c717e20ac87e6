/* Keys of each type, in each form in which they are held, small and large: for tests that carry
 * whole data sets from one server to another. */
#ifndef BASALT_TESTS_SUPPORT_EVERY_TYPE_H
#define BASALT_TESTS_SUPPORT_EVERY_TYPE_H

#include <stddef.h>

struct resp_client;

/* Fills the selected database, and database 3. Fails the running test when a server refuses. */
void every_type_fill(struct resp_client *client);
/* The keys of the selected database, without those that have an expiry. */
extern const char *const every_type_keys[];
extern const size_t every_type_key_count;

#endif

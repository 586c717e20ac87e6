/* Places, units and distances in requests and replies. */
#ifndef BASALT_SERVER_COMMANDS_GEO_ARGS_H
#define BASALT_SERVER_COMMANDS_GEO_ARGS_H

#include "server/call.h"
#include "server/commands/geo_cell.h"

/* False: that is no place on the map. */
bool geo_read_place(struct bytes longitude, struct bytes latitude, struct geo_place *out);

/* Each reads arguments from `arg` on; false: an error was replied. */

/* Longitude and latitude. */
bool geo_arg_place(struct call *c, int arg, struct geo_place *out);
/* m, km, ft, mi: metres in one of it. */
bool geo_arg_unit(struct call *c, int arg, double *out);
/* A radius and its unit; width and height of a box and their unit. */
bool geo_arg_radius(struct call *c, int arg, struct geo_shape *out);
bool geo_arg_box(struct call *c, int arg, struct geo_shape *out);

/* With four digits behind the point. */
void geo_reply_distance(struct reply *r, double distance);
void geo_reply_place(struct reply *r, struct geo_place place);

#endif

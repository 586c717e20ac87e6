/* Places on the earth as scores of sorted sets, distances, and the cells that a search looks into.
 *
 * The world between the latitudes ±85.05112878 is divided into 2^step by 2^step cells; a cell's
 * number has the bits of its longitude's index at the odd places and those of its latitude's at the
 * even ones (a Morton number), so that a cell's quarters are four neighbouring numbers. A place's
 * score is the number of its cell at step 26: 52 bits, which a double holds exactly. A larger cell
 * is a range of scores.
 *
 * All arithmetic is in Redis's order of operations: scores, coordinates and distances are the same
 * to the last bit. Source: geohash.c, geohash_helper.c of Redis 7.2. Pure functions. */
#ifndef BASALT_SERVER_COMMANDS_GEO_CELL_H
#define BASALT_SERVER_COMMANDS_GEO_CELL_H

#include <stdbool.h>
#include <stdint.h>

#define GEO_LATITUDE_MAX  85.05112878
#define GEO_LONGITUDE_MAX 180.0
#define GEO_STEP_MAX      26
#define GEO_TEXT_CHARS    11

struct geo_place {
    double longitude; /* degrees */
    double latitude;
};

struct geo_cell {
    uint64_t bits;
    unsigned step; /* 0: no cell */
};

/* The area of a search around a place. */
struct geo_shape {
    struct geo_place center;
    bool is_box;
    double unit;   /* in metres; what follows is in such units */
    double radius; /* of a circle */
    double width;  /* of a box */
    double height;
};

/* What a search looks into: the cell of its center and those around it. */
#define GEO_CELLS 9
struct geo_cells {
    struct geo_cell cell[GEO_CELLS]; /* those of step 0 need no look */
};

/* The place must be within the bounds. */
uint64_t geo_score(struct geo_place place);
/* Any score: those of no place become one at the edge of the world, as in Redis. */
struct geo_place geo_place_of_score(double score);
/* The standard geohash text, which has other bounds. */
void geo_text(struct geo_place place, char out[GEO_TEXT_CHARS]);
/* Metres along the great circle. */
double geo_distance(struct geo_place a, struct geo_place b);

struct geo_cells geo_shape_cells(const struct geo_shape *shape);
/* The scores of the places in a cell: *from_out <= score < *to_out. */
void geo_cell_scores(struct geo_cell cell, uint64_t *from_out, uint64_t *to_out);
/* Whether a place is in the shape; then `*distance_out` is its distance from the center, in metres.
 */
bool geo_shape_has(const struct geo_shape *shape, struct geo_place place, double *distance_out);

#endif

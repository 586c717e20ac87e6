#include "server/commands/geo_cell.h"

#include <math.h>

#define RADIANS_PER_DEGREE (M_PI / 180.0)
#define EARTH_RADIUS       6372797.560856 /* metres */
#define MERCATOR_MAX       20037726.37    /* metres: half the equator on the map */
#define LATITUDE_NARROW    66             /* from here on, cells are narrow */
#define LATITUDE_NARROWER  80
#define TEXT_LATITUDE_MAX  90.0

static double radians(double degrees)
{
    return degrees * RADIANS_PER_DEGREE;
}

static double degrees(double radians)
{
    return radians / RADIANS_PER_DEGREE;
}

/* ---- Morton numbers. */

/* Spreads 32 bits over the even places of 64. */
static uint64_t spread(uint32_t value)
{
    uint64_t x = value;
    x = (x | x << 16) & 0x0000ffff0000ffffULL;
    x = (x | x << 8) & 0x00ff00ff00ff00ffULL;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0fULL;
    x = (x | x << 2) & 0x3333333333333333ULL;
    return (x | x << 1) & 0x5555555555555555ULL;
}

/* The opposite. */
static uint32_t gather(uint64_t bits)
{
    uint64_t x = bits & 0x5555555555555555ULL;
    x = (x | x >> 1) & 0x3333333333333333ULL;
    x = (x | x >> 2) & 0x0f0f0f0f0f0f0f0fULL;
    x = (x | x >> 4) & 0x00ff00ff00ff00ffULL;
    x = (x | x >> 8) & 0x0000ffff0000ffffULL;
    return (uint32_t)(x | x >> 16);
}

struct cell_index {
    uint32_t longitude;
    uint32_t latitude;
};

static struct cell_index index_of(struct geo_cell cell)
{
    return (struct cell_index){.longitude = gather(cell.bits >> 1), .latitude = gather(cell.bits)};
}

static uint64_t bits_of(struct cell_index index)
{
    return spread(index.latitude) | spread(index.longitude) << 1;
}

/* ---- Cells and places. */

static struct geo_cell cell_of(struct geo_place place, unsigned step, double latitude_max)
{
    double cells = (double)(1ULL << step);
    double latitude = (place.latitude - -latitude_max) / (latitude_max - -latitude_max);
    double longitude =
        (place.longitude - -GEO_LONGITUDE_MAX) / (GEO_LONGITUDE_MAX - -GEO_LONGITUDE_MAX);
    struct cell_index index = {.longitude = (uint32_t)(longitude * cells),
                               .latitude = (uint32_t)(latitude * cells)};
    return (struct geo_cell){.bits = bits_of(index), .step = step};
}

/* One edge of a cell. */
static double edge(uint32_t index, unsigned step, double max)
{
    return -max + (index * 1.0 / (double)(1ULL << step)) * (max - -max);
}

struct box {
    struct geo_place min;
    struct geo_place max;
};

static struct box box_of(struct geo_cell cell)
{
    struct cell_index index = index_of(cell);
    return (struct box){
        .min = {.longitude = edge(index.longitude, cell.step, GEO_LONGITUDE_MAX),
                .latitude = edge(index.latitude, cell.step, GEO_LATITUDE_MAX)},
        .max = {.longitude = edge(index.longitude + 1, cell.step, GEO_LONGITUDE_MAX),
                .latitude = edge(index.latitude + 1, cell.step, GEO_LATITUDE_MAX)}};
}

/* A bit pattern for every score, as x86-64 converts them. */
static uint64_t bits_of_score(double score)
{
    const double two_to_63 = 9223372036854775808.0;
    if (score >= two_to_63 * 2)
        return 0;
    if (score >= 0)
        return (uint64_t)score;
    return score > -two_to_63 ? (uint64_t)(int64_t)score : (uint64_t)1 << 63;
}

static double clamp(double value, double max)
{
    return value > max ? max : value < -max ? -max : value;
}

uint64_t geo_score(struct geo_place place)
{
    return cell_of(place, GEO_STEP_MAX, GEO_LATITUDE_MAX).bits;
}

struct geo_place geo_place_of_score(double score)
{
    struct box box = box_of((struct geo_cell){.bits = bits_of_score(score), .step = GEO_STEP_MAX});
    return (struct geo_place){
        .longitude = clamp((box.min.longitude + box.max.longitude) / 2, GEO_LONGITUDE_MAX),
        .latitude = clamp((box.min.latitude + box.max.latitude) / 2, GEO_LATITUDE_MAX)};
}

void geo_text(struct geo_place place, char out[GEO_TEXT_CHARS])
{
    static const char alphabet[] = "0123456789bcdefghjkmnpqrstuvwxyz";
    uint64_t bits = cell_of(place, GEO_STEP_MAX, TEXT_LATITUDE_MAX).bits;
    for (unsigned i = 0; i < GEO_TEXT_CHARS - 1; i++)
        out[i] = alphabet[bits >> (2 * GEO_STEP_MAX - 5 * (i + 1)) & 31];
    out[GEO_TEXT_CHARS - 1] = alphabet[0]; /* of its five bits we have but two */
}

/* ---- Distances. */

static double latitude_distance(double a, double b)
{
    return EARTH_RADIUS * fabs(radians(b) - radians(a));
}

double geo_distance(struct geo_place a, struct geo_place b)
{
    double v = sin((radians(b.longitude) - radians(a.longitude)) / 2);
    if (v == 0.0)
        return latitude_distance(a.latitude, b.latitude);
    double a_latitude = radians(a.latitude);
    double b_latitude = radians(b.latitude);
    double u = sin((b_latitude - a_latitude) / 2);
    double haversine = u * u + cos(a_latitude) * cos(b_latitude) * v * v;
    return 2.0 * EARTH_RADIUS * asin(sqrt(haversine));
}

bool geo_shape_has(const struct geo_shape *shape, struct geo_place place, double *distance_out)
{
    if (!shape->is_box) {
        *distance_out = geo_distance(shape->center, place);
        return !(*distance_out > shape->radius * shape->unit);
    }
    double height = shape->height * shape->unit;
    double width = shape->width * shape->unit;
    if (latitude_distance(place.latitude, shape->center.latitude) > height / 2)
        return false;
    struct geo_place beside = {shape->center.longitude, place.latitude};
    if (geo_distance(place, beside) > width / 2)
        return false;
    *distance_out = geo_distance(shape->center, place);
    return true;
}

/* ---- Searches. */

static struct box bounding_box(const struct geo_shape *shape)
{
    double height = shape->unit * (shape->is_box ? shape->height / 2 : shape->radius);
    double width = shape->unit * (shape->is_box ? shape->width / 2 : shape->radius);
    struct geo_place center = shape->center;
    double up = degrees(height / EARTH_RADIUS);
    /* An area is widest, in degrees, at the edge that is nearer to a pole. */
    double edge_latitude = center.latitude < 0 ? center.latitude - up : center.latitude + up;
    double aside = degrees(width / EARTH_RADIUS / cos(radians(edge_latitude)));
    return (struct box){.min = {center.longitude - aside, center.latitude - up},
                        .max = {center.longitude + aside, center.latitude + up}};
}

/* The step whose cells are about as large as the search. */
static unsigned estimate_step(double metres, double latitude)
{
    if (metres == 0)
        return GEO_STEP_MAX;
    int step = 1;
    for (; metres < MERCATOR_MAX; metres *= 2)
        step++;
    step -= 2;
    if (fabs(latitude) > LATITUDE_NARROW)
        step--;
    if (fabs(latitude) > LATITUDE_NARROWER)
        step--;
    return step < 1 ? 1 : step > GEO_STEP_MAX ? GEO_STEP_MAX : (unsigned)step;
}

static uint32_t move_index(uint32_t index, int by, unsigned step)
{
    return by == 0 ? index : (index + (uint32_t)by) & (uint32_t)((1ULL << step) - 1);
}

/* The order in which Redis looks into the cells: each by its steps to the east and to the north. */
static const struct {
    int east;
    int north;
} directions[GEO_CELLS] = {{0, 0}, {0, 1},  {0, -1}, {1, 0},  {-1, 0},
                           {1, 1}, {-1, 1}, {1, -1}, {-1, -1}};

enum { CELL_CENTER, CELL_NORTH, CELL_SOUTH, CELL_EAST, CELL_WEST };

static struct geo_cells cells_around(struct geo_place center, unsigned step)
{
    struct geo_cells cells;
    struct cell_index index = index_of(cell_of(center, step, GEO_LATITUDE_MAX));
    for (int i = 0; i < GEO_CELLS; i++) {
        struct cell_index moved = {
            .longitude = move_index(index.longitude, directions[i].east, step),
            .latitude = move_index(index.latitude, directions[i].north, step)};
        cells.cell[i] = (struct geo_cell){.bits = bits_of(moved), .step = step};
    }
    return cells;
}

/* Whether the cells next to the center's reach as far as the search on all four sides. */
static bool reach(const struct geo_cells *cells, const struct box *bounds)
{
    return !(box_of(cells->cell[CELL_NORTH]).max.latitude < bounds->max.latitude) &&
           !(box_of(cells->cell[CELL_SOUTH]).min.latitude > bounds->min.latitude) &&
           !(box_of(cells->cell[CELL_EAST]).max.longitude < bounds->max.longitude) &&
           !(box_of(cells->cell[CELL_WEST]).min.longitude > bounds->min.longitude);
}

/* Drops the cells on those sides where the center's cell reaches beyond the search. */
static void drop_useless(struct geo_cells *cells, const struct box *bounds)
{
    struct box center = box_of(cells->cell[CELL_CENTER]);
    for (int i = 1; i < GEO_CELLS; i++) {
        int east = directions[i].east;
        int north = directions[i].north;
        if ((north < 0 && center.min.latitude < bounds->min.latitude) ||
            (north > 0 && center.max.latitude > bounds->max.latitude) ||
            (east < 0 && center.min.longitude < bounds->min.longitude) ||
            (east > 0 && center.max.longitude > bounds->max.longitude))
            cells->cell[i] = (struct geo_cell){.step = 0};
    }
}

/* Where the earth is small, cells on both sides of the center may be the same one. */
static void drop_repeated(struct geo_cells *cells)
{
    int last = 0;
    for (int i = 0; i < GEO_CELLS; i++) {
        struct geo_cell *cell = &cells->cell[i];
        if (cell->step == 0)
            continue;
        if (last != 0 && cell->bits == cells->cell[last].bits &&
            cell->step == cells->cell[last].step)
            *cell = (struct geo_cell){.step = 0};
        else
            last = i;
    }
}

struct geo_cells geo_shape_cells(const struct geo_shape *shape)
{
    struct box bounds = bounding_box(shape);
    double half_width = shape->width / 2;
    double half_height = shape->height / 2;
    double radius =
        shape->is_box ? sqrt(half_width * half_width + half_height * half_height) : shape->radius;
    unsigned step = estimate_step(radius * shape->unit, shape->center.latitude);
    struct geo_cells cells = cells_around(shape->center, step);
    if (step > 1 && !reach(&cells, &bounds))
        cells = cells_around(shape->center, --step);
    if (step >= 2)
        drop_useless(&cells, &bounds);
    drop_repeated(&cells);
    return cells;
}

void geo_cell_scores(struct geo_cell cell, uint64_t *from_out, uint64_t *to_out)
{
    unsigned shift = 2 * (GEO_STEP_MAX - cell.step);
    *from_out = cell.bits << shift;
    *to_out = (cell.bits + 1) << shift;
}

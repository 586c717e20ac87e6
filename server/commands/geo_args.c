#include "server/commands/geo_args.h"

#include "codec/number.h"

#include <inttypes.h>
#include <math.h>

#define DISTANCE_PARTS 10000

static bool is_on_map(struct geo_place place)
{
    return fabs(place.longitude) <= GEO_LONGITUDE_MAX && fabs(place.latitude) <= GEO_LATITUDE_MAX;
}

bool geo_read_place(struct bytes longitude, struct bytes latitude, struct geo_place *out)
{
    return number_parse_f64(longitude, &out->longitude) &&
           number_parse_f64(latitude, &out->latitude) && is_on_map(*out);
}

bool geo_arg_place(struct call *c, int arg, struct geo_place *out)
{
    if (!call_arg_f64(c, arg, &out->longitude) || !call_arg_f64(c, arg + 1, &out->latitude))
        return false;
    if (is_on_map(*out))
        return true;
    reply_error_format(c->reply, "ERR invalid longitude,latitude pair %f,%f", out->longitude,
                       out->latitude);
    return false;
}

bool geo_arg_unit(struct call *c, int arg, double *out)
{
    static const struct {
        const char *name;
        double metres;
    } units[] = {{"m", 1}, {"km", 1000}, {"ft", 0.3048}, {"mi", 1609.34}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (!call_arg_is(c, arg, units[i].name))
            continue;
        *out = units[i].metres;
        return true;
    }
    reply_error(c->reply, "ERR unsupported unit provided. please use M, KM, FT, MI");
    return false;
}

static bool parse_length(struct call *c, int arg, const char *error, double *out)
{
    if (number_parse_f64(c->argv[arg], out))
        return true;
    reply_error(c->reply, error);
    return false;
}

bool geo_arg_radius(struct call *c, int arg, struct geo_shape *out)
{
    if (!parse_length(c, arg, "ERR need numeric radius", &out->radius))
        return false;
    if (out->radius < 0) {
        reply_error(c->reply, "ERR radius cannot be negative");
        return false;
    }
    out->is_box = false;
    return geo_arg_unit(c, arg + 1, &out->unit);
}

bool geo_arg_box(struct call *c, int arg, struct geo_shape *out)
{
    if (!parse_length(c, arg, "ERR need numeric width", &out->width) ||
        !parse_length(c, arg + 1, "ERR need numeric height", &out->height))
        return false;
    if (out->width < 0 || out->height < 0) {
        reply_error(c->reply, "ERR height or width cannot be negative");
        return false;
    }
    out->is_box = true;
    return geo_arg_unit(c, arg + 2, &out->unit);
}

void geo_reply_distance(struct reply *r, double distance)
{
    int64_t parts = llrint(distance * DISTANCE_PARTS);
    reply_bulk_format(r, "%" PRId64 ".%04" PRId64, parts / DISTANCE_PARTS, parts % DISTANCE_PARTS);
}

void geo_reply_place(struct reply *r, struct geo_place place)
{
    reply_array(r, 2);
    reply_long_double(r, place.longitude);
    reply_long_double(r, place.latitude);
}

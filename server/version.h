/* Whose behaviour the server has: what INFO, HELLO and LOLWUT tell clients that ask for it. */
#ifndef BASALT_SERVER_VERSION_H
#define BASALT_SERVER_VERSION_H

#define REDIS_COMPATIBLE_VERSION     "7.2.4"
#define REDIS_COMPATIBLE_VERSION_NUM 0x00070204

#endif

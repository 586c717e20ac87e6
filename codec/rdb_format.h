/* Constants of Redis's RDB files, shared by reader and writer. Source: Redis 7.4, rdb.h; described
 * in FORMAT.md, "RDB". */
#ifndef BASALT_CODEC_RDB_FORMAT_H
#define BASALT_CODEC_RDB_FORMAT_H

#include "codec/bytes.h"

#define RDB_VERSION_MAX               12 /* the newest that we read */
#define RDB_VERSION_DEFAULT           10 /* what we write: Redis 7.0, the oldest we replicate with fully */
#define RDB_VERSION_CHECKSUM          5 /* from here on, a CRC64 ends the file */
#define RDB_MAGIC_BYTES               9 /* "REDIS" and four digits */
#define RDB_CHECKSUM_BYTES            8
#define RDB_MODULE_NAME_BYTES         9
#define RDB_STRING_COMPRESS_BYTES_MIN 21 /* shorter strings are never compressed */

/* A value's encoding, as in the file. */
enum rdb_type {
    RDB_TYPE_STRING = 0,
    RDB_TYPE_LIST = 1,
    RDB_TYPE_SET = 2,
    RDB_TYPE_ZSET = 3, /* scores as text */
    RDB_TYPE_HASH = 4,
    RDB_TYPE_ZSET_2 = 5, /* binary scores */
    RDB_TYPE_MODULE_PRE_GA = 6,
    RDB_TYPE_MODULE_2 = 7,
    RDB_TYPE_HASH_ZIPMAP = 9,
    RDB_TYPE_LIST_ZIPLIST = 10,
    RDB_TYPE_SET_INTSET = 11,
    RDB_TYPE_ZSET_ZIPLIST = 12,
    RDB_TYPE_HASH_ZIPLIST = 13,
    RDB_TYPE_LIST_QUICKLIST = 14,
    RDB_TYPE_STREAM_LISTPACKS = 15,
    RDB_TYPE_HASH_LISTPACK = 16,
    RDB_TYPE_ZSET_LISTPACK = 17,
    RDB_TYPE_LIST_QUICKLIST_2 = 18,
    RDB_TYPE_STREAM_LISTPACKS_2 = 19,
    RDB_TYPE_SET_LISTPACK = 20,
    RDB_TYPE_STREAM_LISTPACKS_3 = 21,
    RDB_TYPE_HASH_METADATA_PRE_GA = 22,
    RDB_TYPE_HASH_LISTPACK_EX_PRE_GA = 23,
    RDB_TYPE_HASH_METADATA = 24,
    RDB_TYPE_HASH_LISTPACK_EX = 25,
    RDB_TYPE_COUNT,
};

enum rdb_opcode {
    RDB_OPCODE_SLOT_INFO = 244,
    RDB_OPCODE_FUNCTION2 = 245,
    RDB_OPCODE_FUNCTION_PRE_GA = 246,
    RDB_OPCODE_MODULE_AUX = 247,
    RDB_OPCODE_IDLE = 248,
    RDB_OPCODE_FREQ = 249,
    RDB_OPCODE_AUX = 250,
    RDB_OPCODE_RESIZEDB = 251,
    RDB_OPCODE_EXPIRETIME_MS = 252,
    RDB_OPCODE_EXPIRETIME = 253,
    RDB_OPCODE_SELECTDB = 254,
    RDB_OPCODE_EOF = 255,
};

/* First byte of a length: two bits of kind, then six bits of length or of a string's encoding. */
enum rdb_length {
    RDB_LENGTH_6_BITS = 0,
    RDB_LENGTH_14_BITS = 1,
    RDB_LENGTH_ENCODED = 3,
    RDB_LENGTH_32_BITS = 0x80, /* the whole byte */
    RDB_LENGTH_64_BITS = 0x81,
};

enum rdb_string_encoding {
    RDB_STRING_INT8 = 0,
    RDB_STRING_INT16 = 1,
    RDB_STRING_INT32 = 2,
    RDB_STRING_LZF = 3,
};

/* What stands before each part of a module's value. */
enum rdb_module_opcode {
    RDB_MODULE_EOF = 0,
    RDB_MODULE_SINT = 1,
    RDB_MODULE_UINT = 2,
    RDB_MODULE_FLOAT = 3,
    RDB_MODULE_DOUBLE = 4,
    RDB_MODULE_STRING = 5,
};

/* What the file says of a key; its value follows. */
struct rdb_key {
    struct bytes name;
    uint32_t db;
    uint8_t type; /* enum rdb_type */
    bool has_expire;
    int64_t expire_at_ms; /* 0 unless has_expire */
    int64_t idle_s;       /* since the last access; -1 when not stored */
    int freq;             /* LFU counter, 0 to 255; -1 when not stored */
};

#endif

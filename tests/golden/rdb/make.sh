#!/bin/sh
# Makes the golden RDB files with an installed redis-server 7.0 (run once; times within them differ
# from run to run):
#   tests/golden/rdb/make.sh OUTPUT_DIRECTORY
set -eu
out=$1
work=$(mktemp -d)
port=$((20000 + $$ % 40000))
redis-server --port "$port" --bind 127.0.0.1 --dir "$work" --save "" --daemonize no \
    --enable-debug-command yes --maxmemory-policy allkeys-lru --loglevel warning &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
r() { redis-cli -p "$port" "$@" >/dev/null; }
until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done

repeat() { printf "%${2}s" '' | sed "s/ /$1/g"; }

r set plain hello
r set '' 'the empty name'
r set empty ''
r set int8 -128
r set int16 -32768
r set int32 2147483647
r set int32low -2147483648
r set int64 9223372036854775807
r set not_an_integer 007
r set lzf "$(repeat abc 60)"
r set incompressible 0f1e2d3c4b5a69788796a5b4c3d2e1f0qwertyuiopasdfghjklzxcvbnm
printf 'zero\000and\r\nnewline' | redis-cli -p "$port" -x set binary >/dev/null
r set "$(repeat long 16)" 'a long name'
r set expiring soon pxat 4102444800123
r -n 3 set third database
r -n 15 set 12345 'a name that is an integer'
r -n 15 set last '{tag}' pxat 4102444800999
r save
mv "$work/dump.rdb" "$out/strings.rdb"

r flushall
r config set maxmemory-policy allkeys-lfu
r config set list-max-listpack-size 3
r config set hash-max-listpack-entries 4
r config set zset-max-listpack-entries 4
r config set set-max-intset-entries 4
r debug quicklist-packed-threshold 50
r set string value
r rpush list_one_node a b
r rpush list_many_nodes 1 2 3 4 5 6 7 "$(repeat x 60)" end
r sadd set_integers 1 2 300
r sadd set_table one two three
r sadd set_integer_table 1 2 3 4 5 6
r hset hash_small a 1 b 2
r hset hash_table a 1 b 2 c 3 d 4 e "$(repeat long 20)"
r zadd zset_small 1.5 a -2 b
r zadd zset_table 1 a 2 b 3.25 c -inf d +inf e
r xadd stream_plain 1-1 field value
r xadd stream_groups 5-1 a 1 b 2
r xadd stream_groups 5-2 a 3 b 4
r xadd stream_groups 6-0 c "$(repeat y 50)"
r xdel stream_groups 5-2
r xgroup create stream_groups readers 0
r xgroup create stream_groups idle 5-1
r xreadgroup group readers first count 1 streams stream_groups '>'
r xreadgroup group readers second count 1 streams stream_groups '>'
r xgroup createconsumer stream_groups readers third
r pfadd hyperloglog a b c
r pexpireat hash_small 4102444800000
redis-cli -p "$port" -x function load >/dev/null <<'LUA'
#!lua name=golden
redis.register_function('golden', function(keys, args) return 'golden' end)
LUA
r save
mv "$work/dump.rdb" "$out/types.rdb"

#!/usr/bin/env bash
# All default tests of redis-benchmark, with and without pipelining, and its own commands.
set -u
. "$(dirname "$0")/common.sh"
need redis-benchmark redis-cli timeout
start_server

bench() {
    timeout 120 redis-benchmark -p "$port" --csv "$@" 2>&1
}

tests='PING_INLINE PING_MBULK SET GET INCR LPUSH RPUSH LPOP RPOP SADD HSET SPOP ZADD ZPOPMIN'
tests="$tests LRANGE_100 LRANGE_300 LRANGE_500 LRANGE_600 MSET"
for how in "-n 2000" "-n 4000 -P 16 -r 1000" "-n 2000 -c 200 -r 100000"; do
    # shellcheck disable=SC2086
    out=$(bench $how)
    for test in $tests; do
        check "$test with $how" "*\"$test*\",\"[0-9]*" "$out"
    done
    check "no error with $how" '' "$(grep -iE 'error|WRONGTYPE' <<<"$out")"
done
check "a command of one's own" '*"[0-9]*' "$(bench -n 1000 -r 100 set 'key:__rand_int__' value)"
check "a script" '*"[0-9]*' "$(bench -n 1000 eval 'return redis.call("incr", KEYS[1])' 1 scripted)"
check "what the script has counted" '[1-9][0-9]*' "$(redis-cli -p "$port" get scripted)"
finish

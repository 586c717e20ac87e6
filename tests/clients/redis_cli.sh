#!/usr/bin/env bash
# The modes of redis-cli that people use.
set -u
. "$(dirname "$0")/common.sh"
need redis-cli timeout stdbuf
start_server

cli() {
    timeout 60 redis-cli -p "$port" "$@" 2>&1
}

check "set and get" $'OK\nva lue' "$(cli set key 'va lue')"$'\n'"$(cli get key)"
check "-x reads the last argument" $'OK\nfrom stdin' \
    "$(printf 'from stdin' | cli -x set fromx)"$'\n'"$(cli get fromx)"
check "-X reads a named argument" OK "$(printf 'tagged' | cli -X TAG set fromX TAG)"
check "a raw binary value" '6100ff62' \
    "$(printf 'a\x00\xffb' | cli -x set bin >/dev/null; cli --raw get bin | head -c 4 | od -An -tx1 | tr -d ' \n')"
check "--json" '"va lue"' "$(cli --json get key)"
check "-3 speaks RESP3" '1) "f" => "v"' "$(cli hset h f v >/dev/null; cli -3 --no-raw hgetall h | sed 's/^1# /1) /')"
check "-r and -i repeat" $'1\n2\n3' "$(cli -r 3 -i 0.01 incr counter)"
check "several commands from stdin" $'OK\n1' "$(printf 'set a 1\nget a\n' | cli)"
check "--eval with keys and arguments" 'x' \
    "$(echo 'return redis.call("GET", KEYS[1]) .. ARGV[1]' >"$scratch/s.lua"; cli set k '' >/dev/null; cli --eval "$scratch/s.lua" k , x)"
check "EVAL" '3' "$(cli eval 'return #ARGV' 0 a b c)"
check "an error is told" 'WRONGTYPE*' "$(cli lpush key x)"

# Inserts of 20,000 keys in the protocol's own form.
pipe_in() {
    for ((i = 0; i < 20000; i++)); do
        printf '*3\r\n$3\r\nSET\r\n$%d\r\nbulk:%d\r\n$5\r\nvalue\r\n' $((5 + ${#i})) $i
    done
}
check "--pipe" '*errors: 0, replies: 20000*' "$(pipe_in | cli --pipe)"
check "dbsize behind --pipe" '20008' "$(cli dbsize)"
check "--scan finds all" '20000' "$(cli --scan --pattern 'bulk:*' | sort -u | wc -l)"
cli rpush biglist $(seq 1000) >/dev/null
check "--bigkeys" '*Biggest   list found*biglist*1000 items*' "$(cli --bigkeys)"
check "--memkeys" '*Biggest   list found*biglist*bytes*' "$(cli --memkeys --memkeys-samples 0)"
check "--hotkeys says what it needs" '*maxmemory policy*' "$(cli --hotkeys)"
cli config set maxmemory-policy allkeys-lfu >/dev/null
check "--hotkeys" '*keyspace*' "$(cli --hotkeys)"
cli config set maxmemory-policy noeviction >/dev/null

# What runs until it is interrupted; `for_seconds N OPTIONS`.
for_seconds() {
    timeout -s INT "$1" stdbuf -oL redis-cli -p "$port" "${@:2}" 2>&1 </dev/null
}
check "--stat" '*keys*mem*clients*20*' "$(for_seconds 2 --stat -i 0.2)"
check "--latency" '[0-9]* [0-9]* [0-9]*.[0-9]* [0-9]*' "$(for_seconds 2 --latency --raw)"
check "--latency-history" '[0-9]* [0-9]* [0-9]*.[0-9]* [0-9]*' "$(for_seconds 3 --latency-history -i 1 --raw)"
check "--lru-test fills a cache" '*Gets/sec*' "$(for_seconds 4 --lru-test 1000)"

# Subscribing, published to from here.
timeout 20 redis-cli -p "$port" --csv subscribe news >"$scratch/news" 2>&1 &
subscriber=$!
for _ in $(seq 100); do
    [ "$(cli publish news hello)" = 1 ] && break
    sleep 0.1
done
for _ in $(seq 50); do
    grep -q hello "$scratch/news" && break
    sleep 0.1
done
kill $subscriber
check "subscribe" '*"subscribe","news",1*"message","news","hello"*' "$(cat "$scratch/news")"

# A monitor.
timeout 20 redis-cli -p "$port" monitor >"$scratch/monitor" 2>&1 &
monitor=$!
for _ in $(seq 100); do
    cli get key >/dev/null
    grep -q '"get" "key"' "$scratch/monitor" && break
    sleep 0.1
done
kill $monitor
check "monitor" '*\[0 127.0.0.1:*\] "get" "key"*' "$(cat "$scratch/monitor")"

check "info" '*redis_version:7.2*' "$(cli info server)"
check "help knows the commands" '*HSET*key field value*' "$(cli help hset)"
finish

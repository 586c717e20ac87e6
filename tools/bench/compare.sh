#!/usr/bin/env bash
# Compares with redis-server on this machine, in interleaved rounds of redis-benchmark: requests per
# second, p99 latency, and CPU time of the whole server process per request. Both servers log their
# writes (appendfsync everysec, or ALWAYS=1) to a scratch directory of their own. "of redis" is the
# median of the rounds' own ratios of requests per second: on a machine that does other things, too,
# many short rounds give a ratio that can be trusted where the figures themselves cannot.
#
#     tools/bench/compare.sh                     what `make bench` runs
#     TESTS="get set" PIPELINES=16 ROUNDS=5 REQUESTS=2000000 tools/bench/compare.sh
#     ALWAYS=1 TESTS=set ROUNDS=15 REQUESTS=40000 tools/bench/compare.sh
#
# Other knobs: CLIENTS (50), SIZE (100 bytes), KEYS (1000000), ALWAYS (0), DIR (parent of the scratch
# directory), BASALT and REDIS (programs). The reference is left out where it is not installed.
set -euo pipefail
cd "$(dirname "$0")/../.."

TESTS=${TESTS:-"set get incr"}
PIPELINES=${PIPELINES:-"1 16"}
ROUNDS=${ROUNDS:-3}
REQUESTS=${REQUESTS:-}
CLIENTS=${CLIENTS:-50}
SIZE=${SIZE:-100}
KEYS=${KEYS:-1000000}
ALWAYS=${ALWAYS:-0}
BASALT=${BASALT:-build/basalt-server}
REDIS=${REDIS:-$(command -v redis-server || true)}

command -v redis-benchmark >/dev/null || { echo "redis-benchmark (redis-tools) is missing" >&2; exit 1; }
[ -x "$BASALT" ] || { echo "$BASALT is not built" >&2; exit 1; }

scratch=$(mktemp -d "${DIR:-${TMPDIR:-/tmp}}/basalt-bench-XXXXXX")
declare -A pid port
stop_all() {
    for name in "${!pid[@]}"; do
        kill "${pid[$name]}" 2>/dev/null || true
        wait "${pid[$name]}" 2>/dev/null || true
    done
    rm -rf "$scratch"
}
trap stop_all EXIT

fsync=everysec
[ "$ALWAYS" = 0 ] || fsync=always

start() {
    local name=$1 program=$2 i
    shift 2
    mkdir "$scratch/$name"
    port[$name]=$((20000 + RANDOM % 12000))
    "$program" --port "${port[$name]}" --bind 127.0.0.1 --dir "$scratch/$name" \
        --appendfsync $fsync "$@" >"$scratch/$name.log" 2>&1 &
    pid[$name]=$!
    for ((i = 0; i < 200; i++)); do
        [ "$(redis-cli -p "${port[$name]}" ping 2>/dev/null)" = PONG ] && return
        sleep 0.05
    done
    echo "$name did not start:" >&2
    tail -n 5 "$scratch/$name.log" >&2
    exit 1
}

# CPU time of a process so far, all its threads, in clock ticks.
cpu_ticks() {
    sed 's/^.*) //' "/proc/$1/stat" | awk '{print $12 + $13}'
}

# One round: "requests/s p99 us/request".
round() {
    local name=$1 test=$2 pipeline=$3 requests=$4 before after line
    before=$(cpu_ticks "${pid[$name]}")
    line=$(redis-benchmark -p "${port[$name]}" -c "$CLIENTS" -d "$SIZE" -r "$KEYS" -n "$requests" \
        -P "$pipeline" -t "$test" --csv | grep -iE "^\"$test" | head -n 1 | tr -d '"')
    after=$(cpu_ticks "${pid[$name]}")
    awk -F, -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n="$requests" \
        '{printf "%.0f %.3f %.3f\n", $2, $7, ticks * 1000000 / hz / n}' <<<"$line"
}

median() {
    sort -g | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'
}

start basalt "$BASALT"
names=(basalt)
if [ -n "$REDIS" ]; then
    start redis "$REDIS" --appendonly yes --save ""
    names+=(redis)
fi

# The median of the rounds' ratios of two servers.
ratio() {
    paste -d' ' "$1" "$2" | awk '{print $1 / $4}' | median
}

printf '%-6s %4s  %-8s %12s %10s %12s %10s   (medians of %d rounds, appendfsync %s)\n' \
    test P server requests/s "p99 ms" "CPU us/req" "of redis" "$ROUNDS" $fsync
for test in $TESTS; do
    for pipeline in $PIPELINES; do
        requests=${REQUESTS:-$((pipeline > 1 ? 2000000 : 300000))}
        for ((i = 0; i < ROUNDS; i++)); do
            for name in "${names[@]}"; do
                round "$name" "$test" "$pipeline" "$requests" >>"$scratch/$test.$pipeline.$name"
            done
        done
        for name in "${names[@]}"; do
            results=$scratch/$test.$pipeline.$name
            of_redis=
            [ -z "$REDIS" ] || of_redis=$(ratio "$results" "$scratch/$test.$pipeline.redis")
            printf '%-6s %4d  %-8s %12s %10s %12s %10s\n' "$test" "$pipeline" "$name" \
                "$(cut -d' ' -f1 "$results" | median)" "$(cut -d' ' -f2 "$results" | median)" \
                "$(cut -d' ' -f3 "$results" | median)" "$of_redis"
        done
    done
done

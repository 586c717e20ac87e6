# For the other scripts here: a server of their own, and checks. To be sourced, with the build
# directory as first argument. Exit status 77: what is needed is not installed.

build=$(cd "${1:?usage: $0 BUILD_DIR}" && pwd) || exit 1
here=$(cd "$(dirname "$0")" && pwd)
server=${BASALT_SERVER:-$build/basalt-server}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/basalt-clients.XXXXXX")
server_pid=
failures=0

clean_up() {
    [ -z "$server_pid" ] || kill -9 "$server_pid" 2>/dev/null
    wait 2>/dev/null
    rm -rf "$scratch"
}
trap clean_up EXIT

skip() {
    echo "skipped: $*"
    exit 77
}

need() {
    for tool in "$@"; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
}

# Starts the server on a free port, which is in $port then; further arguments are the server's.
start_server() {
    for _ in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 40000))
        "$server" --port $port --bind 127.0.0.1 --dir "$scratch" "$@" >"$scratch/log" 2>&1 &
        server_pid=$!
        for _ in $(seq 100); do
            kill -0 $server_pid 2>/dev/null || break
            grep -q "Ready to accept" "$scratch/log" && return
            sleep 0.1
        done
        kill -9 $server_pid 2>/dev/null
    done
    echo "the server does not start:"
    cat "$scratch/log"
    exit 1
}

# check NAME EXPECTED ACTUAL: EXPECTED is a pattern of the shell.
check() {
    # shellcheck disable=SC2053
    if [[ $3 == $2 ]]; then
        echo "ok      $1"
    else
        echo "FAILED  $1"
        printf 'expected: %s\ngot:      %s\n' "$2" "${3:0:2000}"
        failures=$((failures + 1))
    fi
}

finish() {
    [ "$failures" -eq 0 ]
    exit
}

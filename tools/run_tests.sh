#!/usr/bin/env bash
# Runs the tests of the given build directories and counts individual tests: cases of the unit and
# integration programs, transcript files, checks. Ends with the line "N passed, N failed"; exits
# with 1 if any failed.
#
#     tools/run_tests.sh [--jobs N] BUILD_DIR...
set -uo pipefail
cd "$(dirname "$0")/.."

jobs=$(nproc 2>/dev/null || echo 2)
if [ "${1:-}" = --jobs ]; then
    jobs=$2
    shift 2
fi

passed=0 failed=0 skipped=0 summary=""
for dir in "$@"; do
    log=$dir/Testing/Temporary/LastTest.log
    rm -f "$log"
    ctest --test-dir "$dir" --parallel "$jobs" --output-on-failure --no-tests=error </dev/null
    status=$?
    counts="0 1 0"
    [ -f "$log" ] && counts=$(awk -f tools/count_tests.awk "$log")
    read -r ok bad left_out <<<"$counts"
    # Whatever the log says, a run that ctest calls failed is not a success.
    [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + left_out))
    summary+="  $dir: $ok passed, $bad failed, $left_out skipped"$'\n'
done

printf '\n%s' "$summary"
[ "$skipped" -eq 0 ] || echo "  $skipped skipped in all"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

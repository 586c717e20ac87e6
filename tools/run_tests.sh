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
    ctest --test-dir "$dir" --parallel "$jobs" --output-on-failure --no-tests=error </dev/null |
        tee "$dir/ctest.out"
    status=${PIPESTATUS[0]}
    counts="0 1 0"
    [ -f "$log" ] && counts=$(awk -f tools/count_tests.awk "$log")
    read -r ok bad left_out <<<"$counts"
    # In the log, entries that were skipped as a whole or could not be run read as passed.
    whole=$(grep -cE '^ *[0-9]+/[0-9]+ Test .*\*\*\*Skipped' "$dir/ctest.out")
    absent=$(grep -cE '^ *[0-9]+/[0-9]+ Test .*\*\*\*Not Run' "$dir/ctest.out")
    ok=$((ok - whole - absent)) left_out=$((left_out + whole)) bad=$((bad + absent))
    # Whatever the log says, a run that ctest calls failed is not a success.
    [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + left_out))
    summary+="  $dir: $ok passed, $bad failed, $left_out skipped"$'\n'
done

printf '\n%s' "$summary"
[ "$skipped" -eq 0 ] || echo "  $skipped skipped in all"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

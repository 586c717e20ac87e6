#!/usr/bin/env bash
# Checks that each source file is formatted as .clang-format says (`make fmt` mends it).
# Exits with 77, which ctest counts as skipped, where clang-format is not installed.
set -uo pipefail
cd "$(dirname "$0")/.."

if ! command -v clang-format >/dev/null; then
    echo "clang-format is not installed: skipped"
    exit 77
fi
mapfile -t files < <(find codec storage replication server tools tests \
    -type f \( -name '*.c' -o -name '*.h' \) 2>/dev/null)
clang-format --dry-run -Werror "${files[@]}"

#!/usr/bin/env bash
# Checks the rules of the source tree that a machine can check, and lists each breach as file:line.
#
#   - includes point down only: codec < storage < replication < server < tools; tests use them all
#   - includes are written from the root, and a .c includes its own header (or x_internal.h) first
#   - third-party headers stay in the one place that wraps them
#   - x_internal.h is included by the files of module x alone; names are unique in the whole tree
#   - no file grows past a size at which it usually does two jobs
set -uo pipefail
cd "$(dirname "$0")/.."

source_lines_max=900
breaches=0

breach() {
    echo "$*"
    breaches=$((breaches + 1))
}

# What each folder may include of the project.
allowed_for() {
    case $1 in
    codec) echo "codec" ;;
    storage) echo "codec storage" ;;
    replication) echo "codec storage replication" ;;
    server) echo "codec storage replication server" ;;
    tools) echo "codec storage replication server tools" ;;
    tests) echo "codec storage replication server tools tests" ;;
    esac
}

# Pattern of a third-party header, then the pattern of the files that may include it. The first row
# that matches decides.
third_party=(
    '^rocksdb/'             '^storage/cold_rocksdb[a-z_]*\.(c|h)$|^tests/|^tools/bench/'
    '^zstd'                 '^codec/compress\.c$'
    '^lzf'                  '^codec/lzf\.c$'
    '^xxhash'               '^codec/'
    '^jemalloc/'            '^codec/mem\.c$'
    '^uv\.h$'               '^server/|^tests/'
    '^(lua|lualib|lauxlib)' '^(server/script[a-z_]*\.(c|h)|tests/fuzz/fuzz_script_lib\.c|tests/unit/script_lua_pattern_test\.c)$'
    '^openssl/'             '^server/tls[a-z_]*\.c$|^tools/tool_tls\.c$|^tests/support/tls_[a-z]*\.c$'
    '^pthread\.h$'          '^(storage|server|tests|tools)/'
    '^cmocka'               '^tests/support/harness\.h$'
    '^hiredis/'             '^tests/|^tools/'
)

check_project_include() {
    local file=$1 line=$2 included=$3 folder=${1%%/*} name
    case " $(allowed_for "$folder") " in
    *" ${included%%/*} "*) ;;
    *) breach "$file:$line: $folder/ may not include \"$included\"" ;;
    esac
    [ -f "$included" ] || breach "$file:$line: \"$included\" is not a path from the root"
    case $included in
    *_internal.h)
        name=$(basename "$included" _internal.h)
        case $(basename "$file") in
        "$name".[ch] | "$name"_*) ;;
        *) breach "$file:$line: \"$included\" belongs to the files of $name alone" ;;
        esac
        ;;
    esac
}

check_system_include() {
    local file=$1 line=$2 included=$3 i
    for ((i = 0; i < ${#third_party[@]}; i += 2)); do
        if [[ $included =~ ${third_party[i]} ]]; then
            [[ $file =~ ${third_party[i + 1]} ]] ||
                breach "$file:$line: <$included> is wrapped elsewhere and not included here"
            return
        fi
    done
}

check_own_header_first() {
    local file=$1 first=$2 own=${1%.c}.h
    [[ $file == *.c && -f $own && $first != "$own" && $first != "${own%.h}_internal.h" ]] &&
        breach "$file: must include \"$own\" before anything else"
}

mapfile -t files < <(find codec storage replication server tools tests \
    -type f \( -name '*.c' -o -name '*.h' \) 2>/dev/null | sort)

previous=""
while IFS=: read -r file line text; do
    included=""
    if [[ $text =~ \#[[:space:]]*include[[:space:]]*\"([^\"]+)\" ]]; then
        included=${BASH_REMATCH[1]}
        check_project_include "$file" "$line" "$included"
    elif [[ $text =~ \#[[:space:]]*include[[:space:]]*\<([^\>]+)\> ]]; then
        included=${BASH_REMATCH[1]}
        check_system_include "$file" "$line" "$included"
    fi
    [ "$file" = "$previous" ] || check_own_header_first "$file" "$included"
    previous=$file
done < <(grep -HnE '^[[:space:]]*#[[:space:]]*include' "${files[@]}")

while read -r name; do
    breach "two files are named $name:" $(printf '%s\n' "${files[@]}" | grep -E "/$name\$")
done < <(printf '%s\n' "${files[@]}" | sed 's|.*/||' | sort | uniq -d)

while read -r count file; do
    [[ $file == total || $file == tests/* || $count -le $source_lines_max ]] ||
        breach "$file: $count lines; more than $source_lines_max usually means two jobs"
done < <(wc -l "${files[@]}")

if [ "$breaches" -gt 0 ]; then
    echo "$breaches breach(es) of the layering rules" >&2
    exit 1
fi
echo "${#files[@]} files keep the layering rules"

#!/usr/bin/env bash
# Installs the Debian packages that Basalt needs to be built and tested, if any is missing: by itself
# as root or with passwordless sudo, else it prints the one line to type and exits with 1. Some
# milliseconds when all is there. ccache and clang-format are used where present, never installed.
set -euo pipefail

build_packages=(
    make cmake ninja-build gcc libc6-dev pkg-config
    librocksdb-dev libuv1-dev libzstd-dev libxxhash-dev liblzf-dev libjemalloc-dev
    liblua5.1-0-dev libssl-dev
)
# redis-tools holds the reference that the transcripts run against, without starting a service.
test_packages=(libcmocka-dev libhiredis-dev redis-tools)

if ! command -v dpkg-query >/dev/null; then
    echo "install_deps: no Debian here; make sure that the equivalents of these are installed:" >&2
    echo "  ${build_packages[*]} ${test_packages[*]}" >&2
    exit 0
fi

packages=("${build_packages[@]}" "${test_packages[@]}")
installed=$(dpkg-query -W -f='${db:Status-Abbrev}${Package}\n' "${packages[@]}" 2>/dev/null |
    sed -n 's/^ii *//p' || true)
missing=()
for package in "${packages[@]}"; do
    grep -qxF -- "$package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        echo "Some packages are missing. Install them with:" >&2
        echo >&2
        echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
fi

install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
        --no-install-recommends "${missing[@]}" </dev/null
}

echo "install_deps: installing ${missing[*]}"
# The package lists may be absent or stale: then the first attempt fails fast.
install || { "${as_root[@]}" apt-get update -q </dev/null && install; }

#!/usr/bin/env bash
# node.sh BUILD_DIR SCRIPT: one of the scripts in node/, with packages from npm at the versions of
# its package-lock.json. They are installed once, into BUILD_DIR/clients-node, not into the tree.
# Exit status 77: there is no node or npm, or the packages cannot be had.
set -u
. "$(dirname "$0")/common.sh"
script=${2:?usage: node.sh BUILD_DIR SCRIPT}
need node npm flock timeout
[ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 20')" = true ] || skip "node is older than 20"

place=$build/clients-node
mkdir -p "$place"
# A registry that cannot be reached is not asked again for a while: the others need not wait, too.
install_packages() {
    cmp -s "$here/node/package-lock.json" "$place/installed" && return
    [ -z "$(find "$place/failed" -mmin -10 2>/dev/null)" ] || return
    cp "$here/node/package.json" "$here/node/package-lock.json" "$place"
    if (cd "$place" && timeout 120 npm install --no-save --omit=optional --ignore-scripts \
        --no-audit --no-fund >npm.log 2>&1); then
        cp "$here/node/package-lock.json" "$place/installed"
        rm -f "$place/failed"
    else
        touch "$place/failed"
        return 1
    fi
}
exec 9>"$place/lock"
flock 9
install_packages || skip "npm install failed: $(tail -1 "$place/npm.log")"
cp "$here"/node/*.mjs "$place"
flock -u 9
exec 9>&-

cd "$place" || exit 1
BASALT_SERVER=$server timeout "${CLIENT_SECONDS:-280}" node "$script.mjs"

#!/usr/bin/env bash
# python.sh BUILD_DIR SCRIPT: one of the scripts in Python, with the system's interpreter, for which
# Debian has packages of clients.
set -u
. "$(dirname "$0")/common.sh"
script=${2:?usage: python.sh BUILD_DIR SCRIPT}
need /usr/bin/python3 timeout
timeout 120 /usr/bin/python3 "$here/$script.py" "$build"

#!/bin/sh
# The command `storage-qos`, as npx finds it: runs the command line by the project's own Node.
set -eu
here=$(dirname "$(readlink -f "$0")")
node="$here/../../node_modules/.bin/node"
[ -x "$node" ] || node=node
exec "$node" "$here/main.ts" "$@"

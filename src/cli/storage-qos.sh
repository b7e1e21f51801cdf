#!/bin/sh
# The command `storage-qos`, as npx finds it: in a clone by the clone's own Node, which runs TypeScript.
set -eu
here=$(dirname "$(readlink -f "$0")")
[ -f "$here/main.ts" ] || exec node "$here/main.js" "$@"
node="$here/../../node_modules/.bin/node"
[ -x "$node" ] || node=node
exec "$node" "$here/main.ts" "$@"

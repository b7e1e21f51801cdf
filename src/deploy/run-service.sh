#!/bin/sh
# Runs a command of the project as a login whose password is a secret.
# usage: run-service.sh LOGIN SECRET COMMAND...
set -eu
login="$1"
password="$(cat "/run/secrets/$2")"
shift 2
export DATABASE_URL="postgres://$login:$password@postgres:5432/storage_qos"
if [ -f /run/secrets/jwt_secret ]; then
  JWT_SECRET="$(cat /run/secrets/jwt_secret)"
  export JWT_SECRET
fi
exec node src/cli/main.ts "$@"

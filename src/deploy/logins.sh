#!/bin/sh
# Makes the logins of API, worker and gateway, or gives them the passwords of now.
set -eu
PGPASSWORD="$(cat /run/secrets/postgres_password)"
export PGPASSWORD
exec psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 \
  --host=postgres --username=postgres --dbname=storage_qos --file=/deploy/logins.sql

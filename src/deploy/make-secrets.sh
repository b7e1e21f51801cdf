#!/bin/sh
# Makes the passwords that docker-compose.yml hands to its services; those that are there stay.
set -eu
umask 077
folder="$(dirname "$0")/../../secrets"
mkdir -p "$folder"
for name in postgres_password api_password worker_password gateway_password jwt_secret \
  grafana_password; do
  # Readable in the containers, where other users run; the folder's mode keeps other users of the host out.
  [ -s "$folder/$name" ] || { openssl rand -hex 32 > "$folder/$name"; chmod 644 "$folder/$name"; }
done

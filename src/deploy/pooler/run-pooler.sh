#!/bin/sh
# PgBouncer for the gateway's login, whose password is a secret.
set -eu
umask 077
printf '"qos_gateway" "%s"\n' "$(cat /run/secrets/gateway_password)" > /run/pooler/users.txt
exec pgbouncer -q /etc/pooler/pgbouncer.ini

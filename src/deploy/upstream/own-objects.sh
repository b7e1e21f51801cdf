#!/bin/sh
# The user of nginx writes what is put into the store.
set -eu
chown nginx:nginx /objects

#!/bin/sh
# Debian's packages for `pytest -m starter`. Starts nothing: the tests start what they need on
# free ports, with their own folders.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
echo 'tango-common tango-common/tango-host string localhost:10000' | debconf-set-selections
# dbconfig-no-thanks: the packages shall make no database of their own
apt-get install --yes --no-install-recommends \
    mariadb-server mariadb-client dbconfig-no-thanks tango-db tango-starter

#!/bin/sh
# Debian's packages that Qt needs for `pytest -m taurus`; no screen.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install --yes --no-install-recommends \
    libegl1 libgl1 libxkbcommon-x11-0 libdbus-1-3 fonts-dejavu-core

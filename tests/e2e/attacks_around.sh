#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What goes wrong around the server: upstreams, names, memory, disks; see attacks_around.py.
# usage: attacks_around.sh BUILD_FOLDER
exec python3 "$(dirname "$0")/attacks_around.py" "${1:?usage: attacks_around.sh BUILD_FOLDER}"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Memory of idle connections; see idle.py.
# usage: idle.sh BUILD_FOLDER
exec python3 "$(dirname "$0")/idle.py" "${1:?usage: idle.sh BUILD_FOLDER}"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Request bodies that scripts read; see bodies.py.
# usage: bodies.sh BUILD_FOLDER
exec python3 "$(dirname "$0")/bodies.py" "${1:?usage: bodies.sh BUILD_FOLDER}"

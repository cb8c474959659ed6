#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# HTTP/1 over real sockets; see http.py.
# usage: http.sh BUILD_FOLDER
exec python3 "$(dirname "$0")/http.py" "${1:?usage: http.sh BUILD_FOLDER}"

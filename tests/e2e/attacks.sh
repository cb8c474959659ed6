#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What hostile clients do, over HTTP/1, TLS, files and the log; see attacks.py.
# usage: attacks.sh BUILD_FOLDER
exec python3 "$(dirname "$0")/attacks.py" "${1:?usage: attacks.sh BUILD_FOLDER}"

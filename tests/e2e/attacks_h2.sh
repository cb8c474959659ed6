#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What hostile clients do over HTTP/2; see attacks_h2.py.
# usage: attacks_h2.sh BUILD_FOLDER
exec python3 "$(dirname "$0")/attacks_h2.py" "${1:?usage: attacks_h2.sh BUILD_FOLDER}"

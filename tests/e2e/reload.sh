#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Reloading under load; see reload.py.
# usage: reload.sh BUILD_FOLDER
# -P: http.py beside it is not the module.
exec python3 -P "$(dirname "$0")/reload.py" "${1:?usage: reload.sh BUILD_FOLDER}"

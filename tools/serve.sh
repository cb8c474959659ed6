#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# serve.sh BUILD: packs examples/site into BUILD/site.tar and serves it. PORT in the environment chooses
# another port than 8080. Ends when the server does (Ctrl-C).
set -eu
build=${1:?usage: serve.sh BUILD}
root=$(cd "$(dirname "$0")/.." && pwd)
port=${PORT:-8080}

"$build/zeroserve" --pack "$root/examples/site" >"$build/site.tar.new"
mv "$build/site.tar.new" "$build/site.tar"
echo "open http://127.0.0.1:$port/"
exec "$build/zeroserve" --addr "127.0.0.1:$port" "$build/site.tar"

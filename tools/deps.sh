#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that `build`, `test` or `bench` needs and that are missing. Does nothing, and needs no
# network, when all are there. Services that come with a package are not started.
set -eu
build='gcc make openssl pkg-config libc6-dev liburing-dev libelf-dev libssl-dev libipsec-mb-dev libzydis-dev libcap-dev libseccomp-dev libjansson-dev zlib1g-dev libzstd-dev libbrotli-dev clang'
tests="$build libcriterion-dev libnghttp2-dev nghttp2-client python3-h2 nginx-light curl chromium clang-format libclang-rt-14-dev llvm python3"
bench="$build nginx-light libnginx-mod-http-lua lua-cjson h2o caddy haproxy nghttp2-client wrk gnuplot-nox python3"
case "${1:-build}" in
build) want=$build ;;
test) want=$tests ;;
bench) want=$bench ;;
*) echo "usage: deps.sh build|test|bench" >&2; exit 2 ;;
esac
missing=
for p in $want; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing" >&2
root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "deps: as root, run: apt-get install$missing" >&2; exit 1; }
    root=sudo
fi

# Packages of servers start them unless this file says no, and have them started at the next boot.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '$root rm -f "$policy"' EXIT
    trap 'exit 1' INT TERM
    printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
    $root chmod 755 "$policy"
fi
$root apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends $missing >/dev/null
for p in $missing; do
    case $p in
    nginx-light | h2o | caddy | haproxy) $root systemctl disable -q "${p%-light}" 2>/dev/null || true ;;
    esac
done

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `zs-vm run --request` and `zs-vm test`: each family of helpers works without a server, and the answer is the same.
# usage: offline.sh BUILD
. "$(dirname "$0")/common.bash"

vm=$build/zs-vm
mkdir -p "$work/site/.zeroserve/scripts" "$work/site/tests"
echo '{"n":7}' >"$work/site/data.json"
script=$work/site/.zeroserve/scripts/10-all.c
cat >"$script" <<'C'
#include <zeroserve.h>
#define CHECK(x) if (!(x)) return zs_respond(418, ZS_STR(#x))
#define IS(call, want) ((call) == sizeof want - 1 && zs_strcmp(t, want) == 0)
static char t[128];
ZS_INIT_ENTRY(start) { return zs_log(ZS_STR("begun\n")); }
ZS_CALL_ENTRY(five, in) { zs_json_set_i64(in, 5); return in; }
ZS_CALL_ENTRY(teapot, in) { zs_res_set_status(zs_res_status() + 18); return in; }
ZS_ENTRY zs_u64 entry(void)
{
    zs_s64 n = 0, h;
    zs_u8 digest[32];
    CHECK(IS(zs_req_method(t, 128), "POST") && IS(zs_req_path(t, 128), "/b") && zs_req_proto_minor() == 1);
    CHECK(IS(zs_req_uri(t, 128), "/a/../b?q=x%20y") && IS(zs_req_query_param(ZS_STR("q"), t, 128), "x y"));
    CHECK(IS(zs_req_header(ZS_STR("x-extra"), t, 128), "one"));
    CHECK(zs_req_is_tls() == 1 && zs_req_tls_handshake_complete() == 1 && IS(zs_req_scheme(t, 128), "https"));
    CHECK(zs_json_read_string(zs_json_get(zs_connection_info(), ZS_STR("version")), t, 128) == 7);
    CHECK(IS(zs_req_peer_ip(t, 128), "10.1.2.3") && IS(zs_req_client_ip(t, 128), "203.0.113.9"));
    CHECK(zs_req_remote_ip_matches(ZS_STR("[\"10.0.0.0/8\"]")) == 1);
    CHECK(zs_req_body(t, 128) == 8 && zs_memcmp(t, "{\"a\":12}", 8) == 0);
    CHECK(zs_json_read_i64(zs_json_get(zs_req_body_json(), ZS_STR("a")), &n, 8) == 8 && n == 12);
    CHECK(IS(zs_env_get(ZS_STR("OFFLINE_TEST"), t, 128), "given") && zs_env_get(ZS_STR("HOME"), t, 128) == 0);
    CHECK(zs_now_ms() > 1700000000000ull && zs_version(t, 128) > 0 && zs_getrandom(t, 8) == 8);
    CHECK(zs_sha256(ZS_STR("abc"), digest, 32) == 32 && digest[0] == 0xba);
    CHECK(zs_hex_encode("\xff", 1, t, 2, ZS_HEX_UPPERCASE) == 2 && t[0] == 'F');
    h = zs_load_static_json(ZS_STR("data.json"));
    CHECK(zs_json_read_i64(zs_json_get(h, ZS_STR("n")), &n, 8) == 8 && n == 7);
    CHECK(zs_json_len(zs_load_file_metadata(ZS_STR("data.json"))) == 3);
    CHECK(zs_rate_limit(ZS_STR("k"), 0, 0, 1) == 0 && zs_rate_limit(ZS_STR("k"), 0, 0, 1) == 3);
    CHECK(zs_json_read_i64(zs_call(ZS_STR("10-all"), ZS_STR("five"), h), &n, 8) == 8 && n == 5);
    CHECK(zs_res_hook("", 0, ZS_STR("teapot"), h) == 0);
    CHECK(zs_meta_set(ZS_STR("zs.response.header.x-meta"), ZS_STR("two")) == 0);
    return zs_respond(400, ZS_STR("all is well\n"));
}
C
request=$work/request.http
cat >"$request" <<'T'
POST /a/../b?q=x%20y HTTP/1.1
Host: example.org
X-Forwarded-For: 203.0.113.9
Content-Length: 8

{"a":12}
T
truncate -s -1 "$request"

common=(--tls --peer 10.1.2.3 --header 'X-Extra: one' --script-env OFFLINE_TEST --trusted-proxy 10.0.0.0/8)
export OFFLINE_TEST=given
for engine in jit interp; do
    got=$("$vm" run --engine $engine --request "$request" --site "$work/site" "${common[@]}" "$script" 2>"$work/err")
    is "run, $engine" "$got" $'HTTP/1.1 418 I\'m a Teapot\nx-meta: two\n\nall is well'
    is "init entries run, $engine" "$(cat "$work/err")" '[user_log] 0: 10-all: begun'
    {
        echo '### all families'
        cat "$request"
        printf '\n=== 418\nx-meta: two\n\nall is well\n'
    } >"$work/site/tests/all.http"
    got=$("$vm" test --engine $engine "${common[@]}" "$work/site" 2>"$work/err")
    like "test, $engine" "$got" '^1 passed, 0 failed$'
done

cat >"$work/up.c" <<'C'
#include <zeroserve.h>
ZS_ENTRY zs_u64 entry(void)
{
    zs_res_add_header(ZS_STR("x-a"), ZS_STR("b"));
    return zs_reverse_proxy(ZS_STR("https://a.test:81/app,unix//run/b"));
}
C
is "upstreams are told" "$("$vm" run --request "$request" "$work/up.c")" \
    $'HTTP/1.1 0 proxied\nzs-proxy: https://a.test:81/app, unix//run/b\nx-a: b'

refuses() { # refuses NAME WHAT ARGUMENT...: exit status 2 and one line
    local name=$1 wanted=$2 status
    shift 2
    "$vm" "$@" >"$work/out" 2>"$work/err"
    status=$?
    is "$name" "$status $(cat "$work/out" "$work/err")" "2 zs-vm: $wanted"
}
refuses "a site that is not there" "$work/none: No such file or directory" \
    run --request "$request" --site "$work/none" "$script"
refuses "a proxy that is no address" "trusted proxy x: want an address, or one with /BITS" \
    run --request "$request" --trusted-proxy x "$script"
refuses "the same, test" "trusted proxy x: want an address, or one with /BITS" test --trusted-proxy x "$work/site"
refuses "--site without a request" \
    "--peer, --header, --tls, --script-env, --trusted-proxy and --site need --request" run --site . "$script"
sed -i 's/return zs_log(ZS_STR("begun\\n"))/return *(volatile zs_s64 *)8/' "$script"
like "an init entry that faults" "$("$vm" run --request "$request" "$script" 2>&1 >/dev/null)" "'10-all': zeroserve.init.start: read of 0x8 "
finish

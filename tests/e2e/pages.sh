#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Metadata of scripts in pages, small and large, over both protocols.
# usage: pages.sh BUILD
. "$(dirname "$0")/common.bash"

site=$work/site
mkdir -p "$site/.zeroserve/scripts"
echo '<p>Hello <zs-meta> user </zs-meta>, <zs-meta raw>markup</zs-meta>!</p><zs-meta>none</zs-meta>' \
    >"$site/small.html"
for i in $(seq 20000); do
    echo "<li>line $i of <zs-meta>user</zs-meta></li>"
done >"$site/large.html"
cp "$site/small.html" "$site/small.txt"
cat >"$site/.zeroserve/scripts/meta.c" <<'C'
#include <zeroserve.h>
ZS_ENTRY zs_u64 entry(void)
{
    if (zs_req_query_param_matches(ZS_STR("plain"), ZS_STR("*")))
        return 0;
    zs_meta_set(ZS_STR("user"), ZS_STR("A<b>&"));
    zs_meta_set(ZS_STR("markup"), ZS_STR("<b>bold</b>"));
    return 0;
}
C
start --threads 1 "$site"
sed 's|<zs-meta>user</zs-meta>|A\&lt;b\&gt;\&amp;|' "$site/large.html" >"$work/large"

for protocol in --http1.1 --http2-prior-knowledge; do
    for turn in first again; do
        is "$protocol: small page, $turn" "$(get /small.html $protocol)" \
            '<p>Hello A&lt;b&gt;&amp;, <b>bold</b>!</p>'
        get /large.html $protocol >"$work/got"
        check "$protocol: large page, $turn" cmp "$work/got" "$work/large"
    done
    get /large.html $protocol --limit-rate 4M >"$work/got"
    check "$protocol: to a slow reader" cmp "$work/got" "$work/large"
    is "$protocol: other types stay" "$(get /small.txt $protocol)" "$(cat "$site/small.txt")"
    is "$protocol: without metadata a page stays" "$(get '/small.html?plain' $protocol)" "$(cat "$site/small.html")"
    is "$protocol: HEAD" "$(code /small.html $protocol --head)" 200
    like "$protocol: validators are kept" "$(head_of /small.html $protocol)" '^etag: '
done
is "HTTP/1.0" "$(get /small.html --http1.0)" '<p>Hello A&lt;b&gt;&amp;, <b>bold</b>!</p>'
is "several on one connection" \
    "$(curl -sS -m 20 -w '%{num_connects} ' -o /dev/null -o /dev/null -o /dev/null "$url/small.html" "$url/large.html" "$url/small.html")" \
    '1 0 0 '
for _ in $(seq 20); do
    curl -sS -m 0.02 -o /dev/null "$url/large.html" 2>/dev/null
done
is "clients that leave are forgotten" "$(code /small.html)" 200
stop
is "a clean stop" "$status" 0
finish

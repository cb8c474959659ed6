#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The example site over HTTP, as browsers, crawlers and attackers ask for it.
# usage: site.sh BUILD
. "$(dirname "$0")/common.bash"
site=$root/examples/site

"$server" --pack "$site" >"$work/site.tar" || { result "example site packs" 1; finish; }
start "$work/site.tar"

# ---- pages ----
head=$(head_of /)
like "home page is 200" "$head" '^HTTP/1.1 200'
like "home page is HTML in UTF-8" "$head" '^content-type: text/html; charset=utf-8$'
like "home page has a date" "$head" '^date: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} .* GMT$'
like "style sheet type" "$(head_of /assets/style.css)" '^content-type: text/css; charset=utf-8$'
like "script type" "$(head_of /assets/app.js)" '^content-type: (text|application)/javascript'
like "drawing type" "$(head_of /assets/hero.svg)" '^content-type: image/svg\+xml'
like "picture type" "$(head_of /gallery/xor.png)" '^content-type: image/png$'

# Every file, over a handful of kept connections, is the file on disk.
mkdir "$work/got"
(cd "$site" && find . -path ./.zeroserve -prune -o -type f -print | sed 's|^\./||' | sort) >"$work/files"
while read -r file; do
    printf 'url = "%s/%s"\noutput = "%s/got/%s"\ncreate-dirs\n' "$url" "$file" "$work" "$file"
done <"$work/files" >"$work/curl.config"
curl -sS --parallel --parallel-max 8 -m 60 -K "$work/curl.config" 2>"$work/curl.errors"
result "$(wc -l <"$work/files") files are fetched" $? "$(cat "$work/curl.errors")"
check "and come back byte for byte" diff -rq --exclude=.zeroserve "$site" "$work/got"

# ---- methods ----
get_head=$(head_of /guide/ | grep -vi '^date:')
head_head=$(curl -sS -m 20 -I "$url/guide/" | tr -d '\r' | grep -vi '^date:')
is "HEAD has the fields of GET" "$head_head" "$get_head"
is "HEAD has no body" "$(raw 'HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' | sed '1,/^$/d')" ""
head=$(head_of / -X POST -d x=1)
like "POST to a file is 405" "$head" '^HTTP/1.1 405'
like "405 says what is allowed" "$head" '^allow: .*GET'

# ---- what is not there ----
head=$(head_of /no/such/page)
like "missing page is 404" "$head" '^HTTP/1.1 404'
is "with the site's own page" "$(get /no/such/page)" "$(cat "$site/404.html")"
like "404 page is HTML" "$head" '^content-type: text/html'
unlike "404 page has no validators" "$head" '^(etag|last-modified):'

# ---- directories and scripts ----
head=$(head_of '/isa?a=b&c=%2F')
like "directory without slash is 308" "$head" '^HTTP/1.1 308'
like "its location keeps the query" "$head" '^location: /isa/\?a=b&c=%2F$'
head=$(head_of //evil.example/..//isa)
unlike "a redirect never leaves the host" "$head" '^location: (//|[a-z]+:)'
like "health answers JSON" "$(head_of /health)" '^content-type: application/json'
like "health says ok, version and time" "$(get /health)" \
    '^\{"status":"ok","version":"[^"]+","time_ms":1[0-9]{12}\}$'
like "health is not cached" "$(head_of /health)" '^cache-control: no-store$'
like "health by an encoded path" "$(get /%68ealth)" '"status":"ok"'
head=$(head_of /old-guide)
like "old address is 308" "$head" '^HTTP/1.1 308'
like "to the new one" "$head" '^location: /guide/$'
is "a rewritten path serves the other file" "$(get /docs/)" "$(cat "$site/guide/index.html")"
is "with a query, too" "$(get '/docs/?x=1')" "$(cat "$site/guide/index.html")"
is "a name that only begins alike is not rewritten" "$(code /docsx)" 404
for path in / /assets/app.js /nope /isa; do
    head=$(head_of $path)
    like "$path has a content security policy" "$head" "^content-security-policy: default-src 'none';.*frame-ancestors 'none'$"
    like "$path has nosniff" "$head" '^x-content-type-options: nosniff$'
    like "$path forbids framing" "$head" '^x-frame-options: DENY$'
    like "$path has a referrer policy" "$head" '^referrer-policy: strict-origin-when-cross-origin$'
done

# ---- connections ----
is "a connection is used again" \
    "$(curl -sS -m 20 -o /dev/null -o /dev/null -o /dev/null -w '%{num_connects} ' "$url/" "$url/guide/" "$url/nope")" "1 0 0 "
pipeline=$(raw 'GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /nope HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET /old-guide HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
is "pipelined requests are answered in order" \
    "$(grep -a -o 'HTTP/1.1 [0-9]*' <<<"$pipeline" | cut -d' ' -f2 | xargs)" "200 404 200 308"
answer=$(raw 'GET /health HTTP/1.0\r\n\r\n')
like "HTTP/1.0 works without Host" "$answer" '^HTTP/1.[01] 200'
like "HTTP/1.1 without Host is 400" "$(raw 'GET / HTTP/1.1\r\n\r\n')" '^HTTP/1.1 400'
like "nonsense is 400" "$(raw 'hello there\r\n\r\n')" '^HTTP/1.1 400'

# ---- conditions and ranges ----
head=$(head_of /guide/)
etag=$(sed -n 's/^etag: //ip' <<<"$head")
modified=$(sed -n 's/^last-modified: //ip' <<<"$head")
is "known ETag is 304" "$(code /guide/ -H "If-None-Match: $etag")" 304
is "one of several is 304" "$(code /guide/ -H "If-None-Match: \"x\", W/$etag")" 304
is "other ETag is 200" "$(code /guide/ -H 'If-None-Match: "x"')" 200
is "known date is 304" "$(code /guide/ -H "If-Modified-Since: $modified")" 304
is "failed precondition is 412" "$(code /guide/ -H 'If-Match: "x"')" 412
like "304 keeps the ETag" "$(head_of /guide/ -H "If-None-Match: $etag")" '^etag: '
is "a range is 206" "$(code /assets/style.css -r 10-19)" 206
is "and those bytes" "$(get /assets/style.css -r 10-19)" "$(tail -c +11 "$site/assets/style.css" | head -c 10)"
is "a range behind the end is 416" "$(code /assets/style.css -r 99999999-)" 416

# ---- what must stay hidden ----
for path in /.zeroserve /.zeroserve/ /.zeroserve/scripts/10-health.o /.zeroserve/scripts/10-health.c \
    /%2ezeroserve/scripts/10-health.o /./.zeroserve/scripts/10-health.o //.zeroserve//scripts/10-health.o \
    /guide/../.zeroserve/scripts/10-health.o /guide/%2e%2e/.zeroserve/scripts/10-health.o \
    /.%7Aeroserve/scripts/10-health.o; do
    is "$path is not served" "$(code $path)" 404
done
for path in /../etc/passwd /guide/../../etc/passwd /%2e%2e/etc/passwd /guide/%2e%2e/%2e%2e/etc/passwd \
    /%2e%2e%2fetc%2fpasswd /guide%2f..%2f..%2fetc/passwd /a%00b /%zz /%; do
    is "$path is 400" "$(code $path)" 400
done
for path in '/..;/etc/passwd' '/..\etc\passwd' '/%252e%252e/etc/passwd' '/....//etc/passwd' '/%c0%ae%c0%ae/etc/passwd'; do
    like "$path finds nothing" "$(code "$path")" '^40[04]$'
done

# ---- the end ----
stop
is "SIGTERM ends the server with status 0" "$status" 0
unlike "the log has no script trouble" "$(cat "$log")" 'fault|budget|panic|assert'
finish

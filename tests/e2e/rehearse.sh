#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `zs-vm test`: what it accepts, what it tells about answers that differ, and what it refuses.
# usage: rehearse.sh BUILD
. "$(dirname "$0")/common.bash"

site=$work/site
mkdir -p "$site/.zeroserve/scripts" "$site/.zeroserve/tests" "$site/tests"
echo '<p>Hello <zs-meta>user</zs-meta></p>' >"$site/index.html"
echo 'plain' >"$site/plain.txt"
cat >"$site/.zeroserve/scripts/10-all.c" <<'C'
#include <zeroserve.h>
ZS_ENTRY zs_u64 entry(void)
{
    static char body[64];
    char path[64], text[64];
    zs_req_path(path, sizeof path);
    zs_meta_set(ZS_STR("user"), ZS_STR("<Ann>"));
    zs_res_add_header(ZS_STR("x-list"), ZS_STR("one"));
    zs_res_add_header(ZS_STR("x-list"), ZS_STR("two"));
    if (zs_strcmp(path, "/echo") == 0)
        zs_respond(201, body, zs_req_body(body, sizeof body));
    if (zs_strcmp(path, "/who") == 0) {
        char *end = zs_stpcpy(body, zs_req_is_tls() ? "tls " : "plain ");
        zs_req_client_ip(text, sizeof text);
        end = zs_stpcpy(zs_stpcpy(end, text), " ");
        zs_req_header(ZS_STR("x-extra"), text, sizeof text);
        end = zs_stpcpy(end, text);
        zs_env_get(ZS_STR("REHEARSED"), text, sizeof text);
        zs_respond(200, body, zs_stpcpy(end, text) - body);
    }
    if (zs_strcmp(path, "/abort") == 0)
        zs_abort();
    if (zs_strcmp(path, "/crash") == 0)
        *(volatile int *)8 = 1;
    if (zs_strcmp(path, "/once") == 0 && zs_rate_limit(ZS_STR("key"), 0, 0, 1) != 0)
        zs_respond(429, ZS_STR("again"));
    if (zs_strcmp(path, "/up") == 0) {
        zs_req_set_header(ZS_STR("x-user"), ZS_STR("ann"));
        zs_reverse_proxy(ZS_STR("http://a.test:81/app, unix//run/b.sock"));
    }
    return 0;
}
C
cat >"$site/.zeroserve/tests/10-fits.http" <<'T'
What stands here is prose.
### a page with metadata
GET / HTTP/1.1
Host: a

=== 200 OK
content-type: ~^text/html
x-list: one
X-List: two
!x-other
!content-length

<p>Hello &lt;Ann&gt;</p>

### HEAD has no body
HEAD /plain.txt HTTP/1.1
Host: a

=== 200
content-length: 6

### a body gets its length
POST /echo HTTP/1.1
Host: a

two
lines
=== 201
content-length: 9

two
lines

### a body that says its length itself
POST /echo HTTP/1.1
Host: a
Content-Length: 4

four and more
=== 201

four

### patterns of a body
# a comment
@peer 2001:db8::7
@tls
GET /who HTTP/1.1
Host: a

=== 200

~^tls
~2001:db8::7

### a file that is not there
GET /none HTTP/1.1
Host: a

=== 404
### no Host
GET / HTTP/1.1

=== 400
### a script that is ended
GET /crash HTTP/1.1
Host: a

=== 500
### no answer
GET /abort HTTP/1.1
Host: a

=== aborted
### an upstream
GET /up?x=1 HTTP/1.1
Host: a
Connection: close

=== proxied
zs-proxy: http://a.test:81/app, unix//run/b.sock
zs-request: GET /app/up?x=1 HTTP/1.1
host: a
x-user: ann
x-forwarded-for: 127.0.0.1
!connection
T
for file in 20-once 30-once-more; do
    printf '### first\nGET /once HTTP/1.1\nHost: a\n\n=== 404\n### second\nGET /once HTTP/1.1\nHost: a\n\n=== 429\n' \
        >"$site/.zeroserve/tests/$file.http"
done

vm() { # vm STATUS ARGUMENT...: sets `said`
    local wanted=$1
    shift
    said=$("$build/zs-vm" "$@" 2>&1)
    is "zs-vm ${*//$work/WORK}: exit status" "$?" "$wanted"
}

for engine in jit interp; do
    vm 0 test --engine $engine "$site"
    like "every case passes ($engine)" "$said" '^14 passed, 0 failed$'
    unlike "nothing fails ($engine)" "$said" '^FAIL'
done
"$server" --pack "$site" >"$work/site.tar"
vm 0 test "$work/site.tar" "$site/.zeroserve/tests/10-fits.http"
like "a tar is asked as well" "$said" '^10 passed, 0 failed$'

printf '### who\nGET /who HTTP/1.1\nHost: a\n\n=== 200\n\nplain 10.0.0.9 x=y\n' >"$site/tests/who.http"
REHEARSED='=y' vm 0 test --peer 10.0.0.9 --header 'X-Extra: x' --script-env REHEARSED "$site" "$site/tests/who.http"
REHEARSED='=y' vm 0 test --peer 10.1.1.1 --header 'X-Extra: x' --header 'X-Forwarded-For: 10.0.0.9' \
    --trusted-proxy 10.1.0.0/16 --script-env REHEARSED "$site" "$site/tests/who.http"
vm 1 test --tls "$site" "$site/tests/who.http"
like "what was wanted is told" "$said" '^     - plain 10\.0\.0\.9 x=y$'
like "what came is told" "$said" '^     \+ tls 127\.0\.0\.1 $'
like "the case is named with its line" "$said" 'FAIL .*/tests/who\.http:1 who$'
printf 'GET /who HTTP/1.1\nHost: a\n' >"$work/request"
vm 0 run --request "$work/request" --peer ::1 --tls --header 'X-Extra: e' "$site/.zeroserve/scripts/10-all.c"
like "run --request takes the client's side, too" "$said" '^tls ::1 e$'

refuse() { # refuse TEXT REGEX: a file with this text
    printf "$1" >"$work/bad.http"
    vm 2 test "$site" "$work/bad.http"
    like "it says why" "$said" "$2"
}
refuse '' 'bad.http:1: no case'
refuse 'prose\n' 'no case'
refuse '### name\n' 'bad.http:1: want a request line'
refuse '### name\n@pear 1\n' 'bad.http:2: want @peer'
refuse '### name\nGET / HTTP/1.1\nHost: a\n' 'want === and'
refuse '### name\nGET / HTTP/1.1\nHost: a\n\n=== 200\nnonsense\n' 'bad.http:6: want NAME'
refuse '### a\nGET / HTTP/1.1\n\n\0=== 200\n' 'a NUL'
printf '### a\nGET / HTTP/1.1\nHost: a\n\n=== 200\nx-list: ~(\n' >"$work/bad.http"
vm 1 test "$site" "$work/bad.http"
like "a malformed expression fits nothing" "$said" '^zs-vm: ~\('
vm 2 test "$site" "$work/none.http"
vm 2 test "$work/none"
vm 2 test
vm 2 test --header a --peer x --source "$site"
printf '### a\nGET / HTTP/1.1\nHost: a\n\n=== 200\n' >"$work/good.http"
vm 1 test --peer nowhere "$site" "$work/good.http"
like "an address must be one" "$said" 'nowhere: not an address'
vm 2 run --tls "$site/.zeroserve/scripts/10-all.c"
rm -r "$site/.zeroserve/tests" "$site/tests"
vm 2 test "$site"
like "a site without tests" "$said" 'no \*\.http'
finish

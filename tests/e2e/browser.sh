#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The example site in a real browser: every page is laid out, and every style sheet, script and picture
# it asks for arrives, is of the type the browser wants and passes the content security policy.
# usage: browser.sh BUILD
. "$(dirname "$0")/common.bash"
. "$(dirname "$0")/browser.bash"

start "$work/site"

page_is_fine / 200 6
page_is_fine / 200 6 500
page_is_fine /guide/ 200 6
page_is_fine /api/ 200 4
page_is_fine /isa/ 200 4
page_is_fine /isa/sdiv64-reg.html 200 4
page_is_fine /gallery/ 200 16
page_is_fine /gallery/ 200 16 500
page_is_fine /about/ 200 4
page_is_fine /no/such/page 404 4
page_is_fine /docs/ 200 6
page_is_fine /old-guide 200 6

visit 1200 "$url/guide/" --screenshot="$work/page.png" >/dev/null
like "a screenshot is a picture" "$(head -c 8 "$work/page.png" | od -An -tx1)" '89 50 4e 47'
stop
is "SIGTERM ends the server with status 0" "$status" 0
requests=$(grep -c '"GET ' "$log")
result "the browser asked $requests times, and nothing was refused" \
    "$(grep '"GET ' "$log" | grep -v '/no/such/page' | grep -vc '" \(200\|304\|308\) ' || true)" \
    "$(grep '"GET ' "$log" | grep -v '" \(200\|304\|308\) ')"
finish

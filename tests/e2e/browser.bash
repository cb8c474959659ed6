# SPDX-License-Identifier: Apache-2.0
# What the tests with a browser share, read after common.bash. It finds the browser and makes $work/site, a copy of the
# example site with one more script on its pages, which writes into the document what the browser saw; the browser then
# prints the document. The pages themselves are as they are.

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
[ -n "$browser" ] || { result "a chromium is installed" 1; finish; }

cp -r "$root/examples/site" "$work/site"
cat >"$work/site/report.js" <<'SCRIPT'
"use strict";
const problems = [];
document.addEventListener("securitypolicyviolation", (event) => problems.push("policy " + event.blockedURI));
addEventListener("error", (event) => problems.push("error " + (event.target.src || event.target.href || event.message)), true);
addEventListener("load", async function () {
    for (const image of document.images) {
        if (!image.complete || image.naturalWidth === 0) {
            problems.push("image " + image.src);
        }
    }
    for (const entry of performance.getEntriesByType("resource")) {
        if (entry.responseStatus !== 200 || new URL(entry.name).origin !== location.origin) {
            problems.push("status " + entry.responseStatus + " " + entry.name);
        }
    }
    const page = performance.getEntriesByType("navigation")[0];
    const sheets = [...document.styleSheets].reduce((sum, sheet) => sum + sheet.cssRules.length, 0);
    const body = getComputedStyle(document.body);
    if (sheets < 50 || body.display !== "flex") {
        problems.push("style " + sheets);
    }
    const live = document.querySelector(".live");
    if (live) {
        for (let i = 0; i < 50 && !live.textContent.includes("status ok"); i++) {
            await new Promise((done) => setTimeout(done, 20));
        }
        if (!live.textContent.includes("status ok")) {
            problems.push("health " + live.textContent);
        }
    }
    const search = document.querySelector(".search");
    if (search) {
        search.value = "zs_abort atomic_xchg32".split(" ").find((word) => document.body.textContent.includes(word));
        search.dispatchEvent(new Event("input"));
        const rows = [...document.querySelectorAll("[data-filter]:not([hidden]) tbody tr:not([hidden])")];
        if (rows.length !== 1) {
            problems.push("search " + rows.length);
        }
    }
    document.querySelector(".theme").click();
    if (!document.documentElement.dataset.theme) {
        problems.push("theme");
    }
    if (document.documentElement.scrollWidth > innerWidth) {
        problems.push("wider than the window: " + document.documentElement.scrollWidth);
    }
    document.body.replaceChildren("REPORT status=" + page.responseStatus + " images=" + document.images.length +
        " resources=" + performance.getEntriesByType("resource").length + " problems=" + problems.length +
        " [" + problems.join("; ") + "] END");
});
SCRIPT
find "$work/site" -name '*.html' -exec sed -i 's|<link rel="stylesheet"|<script src="/report.js"></script>&|' {} +

browser_basics=(--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-extensions --disable-dev-shm-usage
    --user-data-dir="$work/profile")
browser_flags=() # more, of a test

browser_crashed() { # browser_crashed STATUS: it ended by a signal of its own making, not by that of a time limit
    case "$(kill -l "$1" 2>/dev/null)" in
    SEGV | ABRT | TRAP | ILL | BUS) return 0 ;;
    *) return 1 ;;
    esac
}

# A headless browser crashes now and then by a defect of its own, which says nothing of the server: it may do so twice.
# The server's own crash shows in every later result.
visit() { # visit WIDTH URL [ARGUMENT...]: the document after it loaded
    local width=$1 page=$2 status crashes=0
    shift 2
    while :; do
        timeout 60 "$browser" "${browser_basics[@]}" "${browser_flags[@]}" --window-size="$width,900" \
            --virtual-time-budget=10000 "$@" "$page" >"$work/browser.document" 2>"$work/browser.errors"
        status=$?
        browser_crashed "$status" && [ $((crashes += 1)) -le 2 ] || break
        echo "    the browser crashed ($(kill -l "$status")) on $page and is started again" >&2
    done
    cat "$work/browser.document"
    return "$status"
}

page_is_fine() { # page_is_fine PATH STATUS LEAST_RESOURCES [WIDTH]
    local report resources
    report=$(visit "${4:-1200}" "$url$1" --dump-dom | grep -o 'REPORT .* END')
    resources=$(grep -o 'resources=[0-9]*' <<<"$report" | cut -d= -f2)
    like "$1 ${4:+at width $4 }arrives whole" "$report" "^REPORT status=$2 .* problems=0 "
    result "$1 ${4:+at width $4 }loads its ${resources:-0} parts" $((${resources:-0} < $3)) "$report" \
        "$(tail -n 3 "$work/browser.errors")"
}

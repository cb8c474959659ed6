# SPDX-License-Identifier: Apache-2.0
# Makes docs/HELPERS.md of sdk/helpers.def: a heading for each /* ---- part ---- */, what that comment says of all of
# its rows, and an entry for each ZS_HELPER. `make reference` runs it, `make lint` that the page is what it makes.

BEGIN {
    print "# Helpers"
    print ""
    print "What scripts can call, made of [sdk/helpers.def](../sdk/helpers.def) by `make reference`. `zs-vm inspect` says the"
    print "same of those that a script calls; [SCRIPTING.md](SCRIPTING.md) shows how to use them."
    print ""
    print "*Text out*: `out` gets the text, cut to `out_len` - 1 bytes and always ended by NUL; the result is its length, or"
    print "`out_len` when it was cut. What is absent reads as the empty text. An `out_len` of 0 writes nothing and gives 0."
    print ""
    print "A pointer or length that leaves the script's memory, an output over read-only memory or over another argument, and,"
    print "but for JSON, a text that is not UTF-8 where one is wanted end the script: the request is answered 500. Names and"
    print "keys are trimmed."
}

function markdown(text) {
    gsub(/\\"/, "\"", text)
    gsub(/[*<]/, "\\\\&", text)
    return text
}

function sentence(text) {
    return toupper(substr(text, 1, 1)) substr(text, 2) (text ~ /[.:]$/ ? "" : ".")
}

# "JSON: values are ..." is a heading and a remark.
function part(title,    at) {
    sub(/^\/\* ---- /, "", title)
    sub(/ ---- \*\/$/, "", title)
    at = match(title, /[:;.] /)
    print "\n## " toupper(substr(title, 1, 1)) substr(title, 2, (at ? at - 1 : length(title)) - 1)
    if (at)
        print "\n" sentence(markdown(substr(title, at + 2)))
}

# ZS_HELPER(returns, name, (parameters), (kinds), "text")
function row(text,    returns, name, parameters, space) {
    sub(/^ZS_HELPER\(/, "", text)
    returns = text
    sub(/,.*/, "", returns)
    sub(/^[^,]*, */, "", text)
    name = text
    sub(/,.*/, "", name)
    sub(/^[^,]*, */, "", text)
    parameters = text
    sub(/\).*/, ")", parameters)
    sub(/^[^"]*"/, "", text)
    sub(/"\)$/, "", text)
    space = returns ~ /\*$/ ? "" : " "
    print "\n`" returns space name parameters "`  \n" sentence(markdown(text))
}

/^\/\* ---- .* ---- \*\/$/ { part($0) }
/^ZS_HELPER\(/ { pending = "" }
/^ZS_HELPER\(/, /"\)$/ {
    sub(/^ +/, " ")
    pending = pending $0
    if (/"\)$/)
        row(pending)
}

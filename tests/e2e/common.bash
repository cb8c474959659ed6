# SPDX-License-Identifier: Apache-2.0
# What the end-to-end tests share; each begins with `. "$(dirname "$0")/common.bash"`. It takes the
# build folder from $1, gives a scratch folder $work that is removed at the end, and ends the servers
# the test started. A test ends with `finish`, which prints the count.

set -u
build=$(cd "${1:?usage: $0 BUILD}" && pwd)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
server=$build/zeroserve
work=$(mktemp -d)
passed=0
failed=0
server_pid=
port=

end_all() {
    [ -n "$server_pid" ] && kill -KILL "$server_pid" 2>/dev/null
    rm -rf "$work"
}
trap end_all EXIT
trap 'exit 1' INT TERM

sanitized() { # is this build slowed down by a sanitizer?
    grep -qE -m 1 '__asan_init|__tsan_init' "$server"
}

result() { # result NAME STATUS [TEXT...]
    if [ "$2" -eq 0 ]; then
        echo "ok   $1"
        passed=$((passed + 1))
    else
        echo "FAIL $1"
        shift 2
        [ $# -gt 0 ] && printf '%s\n' "$@" | head -n 20 | sed 's/^/     /'
        failed=$((failed + 1))
    fi
}

check() { # check NAME COMMAND...: the command succeeds
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        result "$name" 0
    else
        result "$name" 1 "$output"
    fi
}

is() { # is NAME GOT WANTED: two texts are the same
    [ "$2" = "$3" ]
    result "$1" $? "got:    $2" "wanted: $3"
}

like() { # like NAME TEXT REGEX: a line of the text matches
    grep -qiE -- "$3" <<<"$2"
    result "$1" $? "got:    $2" "wanted: $3"
}

unlike() { # unlike NAME TEXT REGEX: no line of the text matches
    ! grep -qiE -- "$3" <<<"$2"
    result "$1" $? "got:      $2" "unwanted: $3"
}

eventually() { # eventually COMMAND...: again and again until it succeeds, or 20 seconds have passed
    for _ in $(seq 400); do
        "$@" && return
        sleep 0.05
    done
}

await() { # await FILE REGEX: until a line of the file matches
    eventually grep -qiE -- "$2" "$1"
}

logged() { # logged NAME REGEX: a line of the log matches. Lines come a moment after the answer.
    await "$log" "$2"
    like "$1" "$(cat "$log")" "$2"
}

logged_count() { # logged_count NAME REGEX COUNT: so many lines of the log match, sooner or later
    for _ in $(seq 400); do
        [ "$(grep -cE -- "$2" "$log")" -ge "$3" ] && break
        sleep 0.05
    done
    is "$1" "$(grep -cE -- "$2" "$log")" "$3"
}

start() { # start ARGUMENT...: a server on a free port of 127.0.0.1; sets port, server_pid, log
    log=$work/server.log
    : >"$log"
    "$server" --addr 127.0.0.1:0 "$@" 2>"$log" &
    server_pid=$!
    for _ in $(seq 200); do
        port=$(sed -n 's|^listening on http://127\.0\.0\.1:\([0-9]*\) .*|\1|p' "$log")
        [ -n "$port" ] && break
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.05
    done
    url=http://127.0.0.1:$port
    [ -n "$port" ] && return 0
    result "server starts" 1 "$(cat "$log")"
    finish
}

stop() { # ends the server; sets status to its exit status
    kill -TERM "$server_pid" 2>/dev/null
    wait "$server_pid"
    status=$?
    server_pid=
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

# ---- clients ----

get() { # get PATH [CURL ARGUMENT...]: the body
    local path=$1
    shift
    curl -sS --path-as-is -m 20 "$@" "$url$path"
}

answers() { # answers PATH BODY: is that what is there?
    [ "$(get "$1")" = "$2" ]
}

is_there() { # is_there PATH
    [ "$(code "$1")" = 200 ]
}

code() { # code PATH [CURL ARGUMENT...]: the status
    local path=$1
    shift
    curl -sS --path-as-is -m 20 -o /dev/null -w '%{http_code}' "$@" "$url$path"
}

head_of() { # head_of PATH [CURL ARGUMENT...]: status line and fields of a GET
    local path=$1
    shift
    curl -sS --path-as-is -m 20 -o /dev/null -D - "$@" "$url$path" | tr -d '\r'
}

raw() { # raw TEXT: sends the bytes (printf escapes), prints what comes until the server closes
    timeout 10 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0"; printf "$1" >&3; cat <&3' "$port" "$1" 2>/dev/null |
        tr -d '\r'
}

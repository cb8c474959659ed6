# SPDX-License-Identifier: Apache-2.0
"""Requests that upstreams answer, over HTTP/1.1 and HTTP/2, with upstreams that misbehave in every way there is.

Prints a line for each case and `N passed, N failed` at the end. Needs python3-h2, curl, openssl and nginx.
usage: proxy.py BUILD_FOLDER
"""

import os
import sys
import time
import traceback

import connect  # noqa: F401
import crowd  # noqa: F401
import faults  # noqa: F401
import bulk  # noqa: F401
import messages  # noqa: F401
import smuggling  # noqa: F401
import trailers  # noqa: F401
from harness import Server, cases, check, counts, prepare


def main():
    only = os.environ.get("PROXY_ONLY", "")
    prepare()
    for function in cases:
        if only in function.__name__:
            begin = time.monotonic()
            try:
                function()
            except Exception:
                check("%s goes to its end" % function.__name__, traceback.format_exc(), "")
            print("     %s: %.1f s" % (function.__name__, time.monotonic() - begin))
    check("the server ends well", Server.main.stop(), 0)
    log = Server.main.text()
    check("no sanitizer has anything to say", [line for line in log.split("\n") if "ERROR" in line or "runtime error" in line],
          [])
    print("%d passed, %d failed" % (counts.passed, counts.failed))
    return counts.failed != 0


sys.exit(main())

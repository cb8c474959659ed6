-- SPDX-License-Identifier: Apache-2.0
-- For wrk: asks for the paths in the file named by ZIPF_PATHS, one a line, again and again.
local requests = {}
local at = 0

function init()
    for path in io.lines(os.getenv("ZIPF_PATHS")) do
        requests[#requests + 1] = wrk.format("GET", path)
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

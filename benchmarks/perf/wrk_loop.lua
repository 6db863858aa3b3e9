-- What wrk sends, and what it prints in the end: requests seconds cpu_seconds
-- usage: wrk -s wrk_loop.lua URL -- HEADERS_FILE BODY_FILE; a line "NAME: VALUE" for each header

local cpu_from

function setup()
    cpu_from = os.clock()  -- of the whole process; once a thread, the last one's counts
end

function init(args)
    for line in io.lines(args[1]) do
        local name, value = line:match("^([^:]+): (.*)$")
        wrk.headers[name] = value
    end
    local file = assert(io.open(args[2], "rb"))
    wrk.method, wrk.body = "POST", file:read("*a")
    file:close()
end

function done(summary)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    assert(failed == 0, failed .. " requests failed")
    print(summary.requests, summary.duration / 1e6, os.clock() - cpu_from)
end

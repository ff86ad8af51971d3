-- The four endpoints of the finance example, each as often as the others, with parameters by chance. What comes out is one line of
-- names and numbers: the rate that a closed loop reaches, and what was no answer.

local statuses = { "open", "pending", "processing", "completed", "cancelled" }
local threads = 0

function setup(thread)
  -- Each thread its own sequence, the same in every run.
  threads = threads + 1
  thread:set("seed", threads)
end

function init(args)
  math.randomseed(seed)
end

local paths = {
  function()
    local at = math.random(#statuses + 1)
    return "/orders?status=" .. (statuses[at] or "all")
  end,
  function() return "/orders/top?limit=" .. math.random(100) end,
  function() return "/orders/product" end,
  function() return "/orders/customers?status=" .. statuses[math.random(#statuses)] .. "&limit=" .. math.random(100) end,
}

function request()
  return wrk.format("GET", paths[math.random(#paths)]())
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    "requests=%d microseconds=%d refused=%d broken=%d late=%d p50=%d p99=%d\n",
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write, errors.timeout,
    latency:percentile(50), latency:percentile(99)
  ))
end

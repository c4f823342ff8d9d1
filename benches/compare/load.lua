-- The load of one run: `wrk -s load.lua URL -- BYTES` posts a body of so many
-- bytes, or gets when there are none. Prints one line that load.rs reads.

function init(args)
  local bytes = tonumber(args[1])
  if bytes > 0 then
    wrk.method = "POST"
    wrk.body = string.rep("wasgun! ", bytes / 8)
  end
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format("measured %d %d %d %d %d %d %d %d %d",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end

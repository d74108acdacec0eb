-- wrk's report as one line of JSON, and a body of the wanted size: wrk … -- POST 10485760
function init(args)
  if args[1] then wrk.method = args[1] end
  if args[2] then wrk.body = string.rep("x", tonumber(args[2])) end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"bytes":%d,"seconds":%.6f,"errors":%d,"p50":%.3f,"p99":%.3f}\n',
    summary.requests, summary.bytes, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end

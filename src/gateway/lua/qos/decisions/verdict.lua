-- What a decision says: `problem` where the key or the operation is refused; else `allowed`, `reason`,
-- `layer`, `retry_after_ms`, `delay_ms`, what is left, and how to settle it.

local _M = {}

local layers = { iops_l2 = 2, bandwidth_l2 = 2, iops_l1 = 1, bandwidth_l1 = 1 }

-- Whether a bucket was short.
function _M.is_of_bucket(reason)
  return layers[reason or ""] ~= nil
end

function _M.refused(problem)
  return { allowed = false, problem = problem }
end

function _M.denied(entry, reason, retry_after_ms)
  return {
    allowed = false, entry = entry, reason = reason, layer = layers[reason],
    retry_after_ms = retry_after_ms,
  }
end

-- As the database decided.
function _M.of_row(entry, row, tokens, operation, reference)
  return {
    allowed = row.allowed,
    entry = entry,
    tokens = tokens,
    charged_size = operation.size,
    charged_name = operation.name,
    reason = row.reason,
    layer = layers[row.reason or ""],
    shadow = row.allowed and row.reason or nil,
    remaining = row.remaining,
    remaining_bytes = row.remaining_bytes,
    retry_after_ms = row.retry_after_ms and tonumber(row.retry_after_ms),
    delay_ms = tonumber(row.delay_ms or "0"),
    reference = row.allowed and reference or nil,
  }
end

return _M

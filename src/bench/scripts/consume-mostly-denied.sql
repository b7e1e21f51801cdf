select * from rate_limiter.consume_with_key(
  'qos_' || lpad(
    case when :n::integer % 10 = 0 then 'full-' else 'denied-' end || :n::text, 43, 'k'
  ), 'read_small', 4096
);

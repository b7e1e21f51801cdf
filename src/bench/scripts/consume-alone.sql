select * from rate_limiter.consume_with_key(
  'qos_' || lpad('alone-' || :n::text, 43, 'k'), 'read_small', 4096
);

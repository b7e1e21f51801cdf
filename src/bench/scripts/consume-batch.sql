select count(*) from rate_limiter.consume_batch(
  md5('full ' || :n::text)::uuid,
  array_fill('read_small'::text, array[100]),
  array_fill(4096::bigint, array[100])
);

select * from rate_limiter.consume(md5('plain ' || :n::text)::uuid, 'read_small', 4096);

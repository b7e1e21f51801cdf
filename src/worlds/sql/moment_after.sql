create or replace function rate_limiter_internal.moment_after(epoch timestamptz, offset_us bigint)
returns timestamptz
language sql
stable
parallel safe
return epoch + offset_us * interval '1 microsecond';

comment on function rate_limiter_internal.moment_after(timestamptz, bigint) is
  'The moment so many microseconds after another; exact within 285 years.';

begin;
insert into published.rate_limit_ephemeral (prefix, key, tokens, last_refill, expires_at)
values ('bench', :n::text, 60000000, now(), now() + interval '1 minute')
on conflict (prefix, key) do nothing;
select tokens, last_refill
from published.rate_limit_ephemeral
where prefix = 'bench' and key = :n::text
for update \gset
insert into published.rate_limit_ephemeral (prefix, key, tokens, last_refill, expires_at)
values (
  'bench', :n::text, :tokens::double precision - 1, now(), now() + interval '1 minute'
)
on conflict (prefix, key) do update
set tokens = excluded.tokens, last_refill = excluded.last_refill, expires_at = excluded.expires_at;
commit;

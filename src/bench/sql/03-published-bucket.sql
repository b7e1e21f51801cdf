-- A token bucket written from the published description of pg-ratelimit (its page "Token Bucket"):
-- insert where missing, select for update, arithmetic in the client, write back.

create schema published;

create unlogged table published.rate_limit_ephemeral (
  prefix text not null,
  key text not null,
  tokens double precision not null,
  last_refill timestamptz not null,
  expires_at timestamptz not null,
  primary key (prefix, key)
);

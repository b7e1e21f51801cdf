-- For psql. Each login is a member of one role, and has no rights of its own.
\set api_password `cat /run/secrets/api_password`
\set worker_password `cat /run/secrets/worker_password`
\set gateway_password `cat /run/secrets/gateway_password`

select format('create role %I login', name)
from (values ('qos_api'), ('qos_worker'), ('qos_gateway')) as wanted (name)
where not exists (select from pg_roles as r where r.rolname = wanted.name)
\gexec

grant rate_limiter_authenticator to qos_api;
grant rate_limiter_worker to qos_worker;
grant rate_limiter_app to qos_gateway;

-- Whatever the server's default is: functions refuse every other level.
alter role qos_api set default_transaction_isolation = 'read committed';
alter role qos_worker set default_transaction_isolation = 'read committed';
alter role qos_gateway set default_transaction_isolation = 'read committed';

-- A decision locks buckets until its transaction ends: one that is left open would stop others.
alter role qos_gateway set idle_in_transaction_session_timeout = '5s';
-- Of a connection that does not say it itself: PgBouncer drops what the gateway asks for.
alter role qos_gateway set statement_timeout = '800ms';
-- No statement of a gateway sorts on disk: one that is stolen shall not fill it.
alter role qos_gateway set temp_file_limit = '100MB';

-- No log of statements may show them.
set log_statement = 'none';
set log_min_duration_statement = -1;
alter role qos_api password :'api_password';
alter role qos_worker password :'worker_password';
alter role qos_gateway password :'gateway_password';

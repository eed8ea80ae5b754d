-- A database for each service, and a role that owns it and can reach no other. For psql 15 or newer, as a superuser:
--
--   ACCOUNTS_DATABASE_PASSWORD=… BILLING_DATABASE_PASSWORD=… SECRETS_DATABASE_PASSWORD=… QUOTA_DATABASE_PASSWORD=… \
--     psql -f deploy/databases.sql postgres
--
-- Run again, it changes the passwords to the ones given and nothing else.

\set ON_ERROR_STOP on
\getenv accounts_password ACCOUNTS_DATABASE_PASSWORD
\getenv billing_password BILLING_DATABASE_PASSWORD
\getenv secrets_password SECRETS_DATABASE_PASSWORD
\getenv quota_password QUOTA_DATABASE_PASSWORD

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY['accounts', 'billing', 'secrets', 'quota']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

ALTER ROLE accounts PASSWORD :'accounts_password';
ALTER ROLE billing PASSWORD :'billing_password';
ALTER ROLE secrets PASSWORD :'secrets_password';
ALTER ROLE quota PASSWORD :'quota_password';

SELECT format('CREATE DATABASE %1$I OWNER %1$I TEMPLATE template0 ENCODING ''UTF8'' LOCALE ''C.UTF-8''', name)
FROM unnest(ARRAY['accounts', 'billing', 'secrets', 'quota']) AS name
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name)
\gexec

-- By default every role may connect to every database.
REVOKE CONNECT, TEMPORARY ON DATABASE accounts, billing, secrets, quota, postgres, template1 FROM PUBLIC;

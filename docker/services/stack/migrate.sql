-- May run any number of times.
SELECT 'CREATE ROLE "www-data" LOGIN'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'www-data') \gexec
SELECT 'CREATE DATABASE shop OWNER "www-data"'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'shop') \gexec
\connect shop
SET ROLE "www-data";
SET client_min_messages = warning;
CREATE TABLE IF NOT EXISTS visits (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), worker text);

-- what the contenders need; :empty is the path of bench_empty.so
CREATE EXTENSION dlock;

CREATE SEQUENCE lease_token;
CREATE TABLE lease_table (
    resource    text PRIMARY KEY,
    owner       text NOT NULL,
    token       bigint NOT NULL DEFAULT nextval('lease_token'),
    expires_at  timestamptz NOT NULL
);

CREATE FUNCTION bench_empty(text) RETURNS bigint
AS :'empty', 'bench_empty' LANGUAGE C VOLATILE;

-- how late each waiter of workload expiry came back
CREATE UNLOGGED TABLE expiry_sample (late_ms double precision NOT NULL);

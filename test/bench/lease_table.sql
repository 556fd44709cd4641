-- contender lease_table: what people write by hand
\set n random(1, 1000000)
INSERT INTO lease_table AS t (resource, owner, expires_at) VALUES ('r:' || :client_id::text || ':' || :n::text, :client_id::text, now() + interval '30 s') ON CONFLICT (resource) DO UPDATE SET owner = excluded.owner, token = excluded.token, expires_at = excluded.expires_at WHERE t.expires_at < now() RETURNING token;
DELETE FROM lease_table WHERE resource = 'r:' || :client_id::text || ':' || :n::text AND owner = :client_id::text;

-- contender lease_table: what people write by hand
\set n :client_id * 1000000 + random(0, 999999)
INSERT INTO lease_table AS t (resource, owner, expires_at) VALUES (:n, :client_id, now() + interval '30 s') ON CONFLICT (resource) DO UPDATE SET owner = excluded.owner, token = excluded.token, expires_at = excluded.expires_at WHERE t.expires_at < now() RETURNING token;
DELETE FROM lease_table WHERE resource = :n AND owner = :client_id;

-- contender advisory: session advisory locks, not durable
\set n random(1, 1000000)
SELECT pg_advisory_lock(:client_id::int, :n::int);
SELECT pg_advisory_unlock(:client_id::int, :n::int);

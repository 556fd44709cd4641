-- contender advisory: session advisory locks, not durable
\set n :client_id * 1000000 + random(0, 999999)
SELECT pg_advisory_lock(:n);
SELECT pg_advisory_unlock(:n);

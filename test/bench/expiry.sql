-- workload expiry: a client dies with a lease, and another one waits for it.
-- The durations differ, so that the ends do not all come at once.
\set n :client_id * 1000000 + random(0, 999999)
\set ms random(500, 1500)
SELECT dlock_acquire(:n, ttl := :ms * interval '1 ms', client := 'dead');
SELECT expires_at AS due FROM dlock_status(:n) \gset
WITH waited AS MATERIALIZED (SELECT dlock_acquire(:n, scope := 'lease')) INSERT INTO expiry_sample SELECT extract(epoch FROM clock_timestamp() - :due::timestamptz) * 1000 FROM waited;
SELECT dlock_release(:n);

-- contender renew_value: the same call in the target list, which the executor
-- runs without a function scan
\if :held = 0
\set n :client_id * 1000000 + random(0, 999999)
SELECT dlock_acquire(:n, ttl := '1 h', scope := 'lease');
\set held 1
\endif
SELECT dlock_renew(:n);

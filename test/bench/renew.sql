-- contender renew: renewals of a lease that the client holds, as in docs/api.md
\if :held = 0
\set n :client_id * 1000000 + random(0, 999999)
SELECT dlock_acquire(:n, ttl := '1 h', scope := 'lease');
\set held 1
\endif
SELECT * FROM dlock_renew(:n);

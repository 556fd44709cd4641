-- contenders dlock and dlock_memory: a pair of acquire and release
\set n :client_id * 1000000 + random(0, 999999)
SELECT dlock_acquire(:n, scope := 'lease');
SELECT dlock_release(:n);

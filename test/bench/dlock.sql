-- contenders dlock and dlock_memory: a pair of acquire and release
\set n random(1, 1000000)
SELECT dlock_acquire('r:' || :client_id::text || ':' || :n::text);
SELECT dlock_release('r:' || :client_id::text || ':' || :n::text);

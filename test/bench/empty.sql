-- contender empty: two calls of a C function that does nothing
\set n random(1, 1000000)
SELECT bench_empty('r:' || :client_id::text || ':' || :n::text);
SELECT bench_empty('r:' || :client_id::text || ':' || :n::text);

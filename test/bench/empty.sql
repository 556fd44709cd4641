-- contender empty: two calls of a C function that does nothing
\set n :client_id * 1000000 + random(0, 999999)
SELECT bench_empty(:n);
SELECT bench_empty(:n);

-- contender empty of workload renew: one call of a C function that does nothing
\if :held = 0
\set n :client_id * 1000000 + random(0, 999999)
\set held 1
\endif
SELECT bench_empty(:n);

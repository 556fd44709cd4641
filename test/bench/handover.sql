-- workload handover: all clients want the same resource
SELECT dlock_acquire('one');
SELECT dlock_release('one');

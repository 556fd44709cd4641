-- workload handover: all clients want the same resource
SELECT dlock_acquire('one', scope := 'lease');
SELECT dlock_release('one');

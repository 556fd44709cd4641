/*
 * deadlock.h
 *	  Find waits that will never end, and end one of each.
 *
 * IDENTIFICATION
 *	  src/lease/deadlock.h
 */
#ifndef DLOCK_LEASE_DEADLOCK_H
#define DLOCK_LEASE_DEADLOCK_H

extern int	dlock_deadlock_pass(void);
extern void dlock_deadlock_report(uint64 id) pg_attribute_noreturn();

#endif							/* DLOCK_LEASE_DEADLOCK_H */

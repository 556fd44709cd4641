/*
 * holding.h
 *	  What happens to a lease that is held: found, released, renewed, changed.
 *
 * IDENTIFICATION
 *	  src/engine/holding.h
 */
#ifndef DLOCK_ENGINE_HOLDING_H
#define DLOCK_ENGINE_HOLDING_H

#include "engine/grant.h"
#include "shared/causes.h"

/* which lease of whom, as copied when it was looked up */
typedef struct DlockLeaseRef
{
	uint32		lease;
	uint32		hash;
	int64		token;
	uint32		told;			/* requests that were acknowledged by then */
	DlockMode	mode;			/* of the lease; of a hold, where it is one's */
	DlockMode	own_mode;		/* in which the session has the lease */
	int32		own[DLOCK_NMODES];	/* holds of the session and of scope lease */
	int32		others[DLOCK_NMODES];	/* holds of other sessions that it can
										 * give back */
} DlockLeaseRef;

/* a lease and who holds it */
typedef struct DlockHolder
{
	DlockLeaseRef ref;
	uint32		client;			/* to compare with one that has a pin */
	Oid			role;
	char		name[DLOCK_NAME_MAX + 1];
} DlockHolder;

extern bool dlock_holding_find(DlockGate gate, const DlockKey *key,
							   uint32 client, DlockLeaseRef *ref);
extern bool dlock_holding_find_slot(DlockGate gate, uint32 slot, uint32 client,
									DlockLeaseRef *ref);
extern bool dlock_holding_of_session(DlockGate gate, const DlockLeaseRef *ref,
									 uint32 session);
extern bool dlock_holding_find_holder(DlockGate gate, const DlockKey *key,
									  int64 token, DlockHolder *holder);
extern bool dlock_holding_keep(DlockGate gate, const DlockLeaseRef *ref,
							   DlockMode mode, uint64 *batch);
extern bool dlock_holding_renew(DlockGate gate, const DlockLeaseRef *ref,
								int64 duration, DlockTime *deadline,
								int *waiters, uint64 *batch,
								bool *confirm);
extern uint64 dlock_holding_barrier(DlockGate gate);
extern bool dlock_holding_find_cause(const DlockKey *key, uint32 client,
									 DlockCause *cause);
extern bool dlock_holding_ref_cause(DlockGate gate, const DlockLeaseRef *ref,
									DlockCause *cause);
extern bool dlock_holding_is_running(DlockGate gate,
									 const DlockLeaseRef *ref);
extern int	dlock_holding_set_priority(DlockGate gate, const DlockKey *key,
									   uint32 client, int32 priority);
extern int	dlock_holding_force_release(DlockGate gate, const DlockKey *key,
										int64 token, int64 newest,
										bool *committing);

/* called at transaction end as well: these cannot fail */
extern void dlock_holding_release(DlockGate gate, const DlockLeaseRef *ref,
								  uint32 session, bool others, int32 count);
extern void dlock_holding_end_session(DlockGate gate,
									  const DlockLeaseRef *ref,
									  uint32 session);
extern void dlock_holding_end_transaction(DlockGate gate,
										  const DlockLeaseRef *ref,
										  uint32 session, bool kept);
extern void dlock_holding_let_go(DlockGate gate, const DlockLeaseRef *ref);
extern void dlock_holding_downgrade(DlockGate gate, const DlockLeaseRef *ref);

#endif							/* DLOCK_ENGINE_HOLDING_H */

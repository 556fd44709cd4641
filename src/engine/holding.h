/*
 * holding.h
 *	  What happens to a lease that is held: released, renewed, changed.
 *
 * IDENTIFICATION
 *	  src/engine/holding.h
 */
#ifndef DLOCK_ENGINE_HOLDING_H
#define DLOCK_ENGINE_HOLDING_H

#include "engine/lookup.h"

extern bool dlock_holding_keep(DlockGate gate, const DlockLeaseRef *ref,
							   DlockMode mode, uint64 *batch);
extern bool dlock_holding_renew(DlockGate gate, const DlockLeaseRef *ref,
								DlockRenewal *renewal);
extern uint64 dlock_holding_barrier(DlockGate gate);
extern int	dlock_holding_set_priority(DlockGate gate, const DlockKey *key,
									   uint32 client, int32 priority);
extern int	dlock_holding_force_release(DlockGate gate, const DlockKey *key,
										int64 token, int64 newest,
										bool *committing);

/* also called at transaction end: these cannot fail */
extern void dlock_holding_release(DlockGate gate, const DlockLeaseRef *ref,
								  uint32 session, bool others, int32 count);
extern void dlock_holding_end_session(DlockGate gate,
									  const DlockLeaseRef *ref,
									  uint32 session);
extern void dlock_holding_end_transaction(DlockGate gate,
										  const DlockLeaseRef *ref,
										  uint32 session, bool kept);
extern void dlock_holding_let_go(DlockGate gate, const DlockLeaseRef *ref);
extern void dlock_holding_downgrade(DlockGate gate, const DlockLeaseRef *ref,
									DlockMode mode);

#endif							/* DLOCK_ENGINE_HOLDING_H */

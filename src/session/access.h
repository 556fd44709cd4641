/*
 * access.h
 *	  Permission to use dlock, and the client that a call acts as.
 *
 * IDENTIFICATION
 *	  src/session/access.h
 */
#ifndef DLOCK_SESSION_ACCESS_H
#define DLOCK_SESSION_ACCESS_H

#include "engine/request.h"

extern void dlock_access_check_preloaded(void);
extern DlockGate dlock_access_gate(void);

/* the client stays pinned until a call acts as another named client */
extern uint32 dlock_access_client(DlockGate gate, const char *name,
								  bool create);
extern bool dlock_access_is_anonymous(const char *name);
extern const char *dlock_access_my_name(void);

/* the caller's rights on the client of a lease that was looked up */
extern bool dlock_access_is_me(DlockGate gate, uint32 client,
							   const char *name);
extern void dlock_access_check_holder(Oid role, const char *name);
extern bool dlock_access_may_act(Oid role);

/* called by DISCARD ALL and at the end of the process */
extern void dlock_access_forget(void);

/* called at server start */
extern void dlock_access_set_preloaded(void);
extern void dlock_access_on_first_use(void (*callback) (void));

#endif							/* DLOCK_SESSION_ACCESS_H */

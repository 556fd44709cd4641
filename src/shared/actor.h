/*
 * actor.h
 *	  As which clients each session acts.
 *
 * IDENTIFICATION
 *	  src/shared/actor.h
 */
#ifndef DLOCK_SHARED_ACTOR_H
#define DLOCK_SHARED_ACTOR_H

typedef enum DlockActorKind
{
	DLOCK_ACTOR_OWN,			/* the session's anonymous client */
	DLOCK_ACTOR_NAMED,			/* the named one it used last */
} DlockActorKind;

#define DLOCK_ACTOR_KINDS 2

extern void dlock_actor_set(int procno, DlockActorKind kind, uint32 client);
extern bool dlock_actor_is(int procno, uint32 client);

/* called at server start */
extern Size dlock_actor_shmem_size(void);
extern void dlock_actor_shmem_init(void);

#endif							/* DLOCK_SHARED_ACTOR_H */

/*
 * session_map.h
 *	  The clients that each session acts as.
 *
 * IDENTIFICATION
 *	  src/shared/session_map.h
 */
#ifndef DLOCK_SHARED_SESSION_MAP_H
#define DLOCK_SHARED_SESSION_MAP_H

typedef enum DlockSessionMapKind
{
	DLOCK_SESSION_MAP_OWN,		/* the session's anonymous client */
	DLOCK_SESSION_MAP_NAMED,	/* the named client that it used last */
} DlockSessionMapKind;

#define DLOCK_SESSION_MAP_KINDS 2

extern void dlock_session_map_set(int procno, DlockSessionMapKind kind, uint32 client);
extern bool dlock_session_map_has(int procno, uint32 client);

/* called at server start */
extern Size dlock_session_map_shmem_size(void);
extern void dlock_session_map_shmem_init(void);

#endif							/* DLOCK_SHARED_SESSION_MAP_H */

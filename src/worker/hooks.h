/*
 * hooks.h
 *	  Commands of the server that concern dlock.
 *
 * IDENTIFICATION
 *	  src/worker/hooks.h
 */
#ifndef DLOCK_WORKER_HOOKS_H
#define DLOCK_WORKER_HOOKS_H

extern void dlock_hooks_install(void);

#endif							/* DLOCK_WORKER_HOOKS_H */

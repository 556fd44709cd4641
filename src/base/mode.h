/*
 * mode.h
 *	  Lock modes, and which of them conflict.
 *
 * IDENTIFICATION
 *	  src/base/mode.h
 */
#ifndef DLOCK_BASE_MODE_H
#define DLOCK_BASE_MODE_H

/*
 * The modes in the order of strength: a mode conflicts with every mode that a
 * weaker one conflicts with (see dlock_mode_check).  The last mode is
 * exclusive.
 */
typedef enum DlockMode
{
	DLOCK_SHARED = 0,			/* compatible with other shared holders */
	DLOCK_EXCLUSIVE,			/* conflicts with every mode */
} DlockMode;

#define DLOCK_NMODES (DLOCK_EXCLUSIVE + 1)
#define DLOCK_WEAKEST_MODE ((DlockMode) 0)

extern bool dlock_mode_conflicts(DlockMode held, DlockMode wanted);
extern bool dlock_mode_covers(DlockMode held, DlockMode wanted);
extern bool dlock_mode_is_alone(DlockMode mode);
extern void dlock_mode_check(void);
extern const char *dlock_mode_name(DlockMode mode);
extern bool dlock_mode_parse(const char *name, DlockMode *mode);

#endif							/* DLOCK_BASE_MODE_H */

/*
 * row_resource.h
 *	  The resource that a row of a protected table belongs to.
 *
 * IDENTIFICATION
 *	  src/api/row_resource.h
 */
#ifndef DLOCK_API_ROW_RESOURCE_H
#define DLOCK_API_ROW_RESOURCE_H

#include "executor/tuptable.h"
#include "utils/rel.h"

typedef struct DlockRowResource DlockRowResource;

/* called when a table is protected */
extern char *dlock_row_resource_check(Relation rel, const char *expression);

/* called once for each statement, and for each row */
extern DlockRowResource *dlock_row_resource_prepare(Relation rel,
													Oid trigger,
													const char *expression,
													MemoryContext context);
extern text *dlock_row_resource_of(DlockRowResource *row_resource,
								   TupleTableSlot *slot);

#endif							/* DLOCK_API_ROW_RESOURCE_H */

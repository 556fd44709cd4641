/*
 * message.h
 *	  Names in messages, in a form that the client's encoding can represent.
 *
 * IDENTIFICATION
 *	  src/base/message.h
 */
#ifndef DLOCK_BASE_MESSAGE_H
#define DLOCK_BASE_MESSAGE_H

extern const char *dlock_message_text(const char *string);
extern int	dlock_message_detail(const char *detail);

#endif							/* DLOCK_BASE_MESSAGE_H */

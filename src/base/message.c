/*
 * message.c
 *	  Names in messages, whatever the client can be told.
 *
 * An error that has a character in it which the client's encoding lacks does
 * not reach the client: it gets 22P05 in its place.  Names are chosen by others,
 * so everything that is named in a message goes through here.
 *
 * IDENTIFICATION
 *	  src/base/message.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "base/message.h"

/* how the characters of a text are looked at */
typedef struct Target
{
	int			encoding;		/* of the client */
	Oid			conversion;		/* InvalidOid: none is needed, or to be had */
	bool		can_check;
	unsigned char *buffer;		/* for what was converted */
	int			size;
} Target;

static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if (IS_HIGHBIT_SET(*text))
			return false;
	return true;
}

/*
 * make_target gets ready for texts of some length.  Conversions are found in a
 * catalog, for which a transaction is needed.
 */
static Target
make_target(int length)
{
	Target		target = {0};

	target.encoding = pg_get_client_encoding();
	/* the server leaves the bytes as they are, if they are valid there */
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
	{
		target.can_check = true;
		return target;
	}
	if (IsTransactionState())
		target.conversion = FindDefaultConversionProc(GetDatabaseEncoding(),
													  target.encoding);
	target.can_check = OidIsValid(target.conversion);
	target.size = length * MAX_CONVERSION_GROWTH + 1;
	target.buffer = palloc(target.size);
	return target;
}

/*
 * count_good tells how many bytes at the beginning of a text can be told.
 */
static int
count_good(const Target *target, const char *text, int length)
{
	int			count = 0;

	if (target->can_check && GetDatabaseEncoding() == PG_SQL_ASCII)
		return pg_encoding_verifymbstr(target->encoding, text, length);
	if (target->can_check)
		return pg_do_encoding_conversion_buf(target->conversion,
											 GetDatabaseEncoding(),
											 target->encoding,
											 (unsigned char *) unconstify(char *, text),
											 length, target->buffer,
											 target->size, true);
	while (count < length && !IS_HIGHBIT_SET(text[count]))
		count++;
	return count;
}

/*
 * append_escaped writes a character down in another way; gives its length.
 */
static int
append_escaped(StringInfo buf, const char *text, int length)
{
	int			bytes = Min(pg_mblen(text), length);

	if (GetDatabaseEncoding() == PG_UTF8)
	{
		pg_wchar	code = utf8_to_unicode((const unsigned char *) text);

		appendStringInfo(buf, code <= 0xFFFF ? "\\u%04X" : "\\U%08X",
						 (unsigned) code);
	}
	else
		for (int i = 0; i < bytes; i++)
			appendStringInfo(buf, "\\x%02X", (unsigned char) text[i]);
	return bytes;
}

/*
 * dlock_message_text gives a text as the client can be told it: as it is where
 * that is possible, else with \uXXXX, or \xXX for each byte where the server's
 * encoding is not UTF8, for the characters that its encoding lacks.
 */
const char *
dlock_message_text(const char *text)
{
	int			length = (int) strlen(text);
	StringInfoData buf;
	Target		target;

	if (pg_get_client_encoding() == GetDatabaseEncoding() ||
		pg_get_client_encoding() == PG_SQL_ASCII || is_ascii(text))
		return text;
	target = make_target(length);
	initStringInfo(&buf);
	for (int done = 0; done < length;)
	{
		int			good = count_good(&target, text + done, length - done);

		if (good == length)
			return text;
		appendBinaryStringInfo(&buf, text + done, good);
		done += good;
		if (done < length)
			done += append_escaped(&buf, text + done, length - done);
	}
	return buf.data;
}

/*
 * dlock_message_detail is errdetail for a finished text; the server's log has
 * it unchanged.
 */
int
dlock_message_detail(const char *detail)
{
	const char *shown = dlock_message_text(detail);

	if (shown != detail)
		errdetail_log("%s", detail);
	return errdetail_internal("%s", shown);
}

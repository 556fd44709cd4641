/*
 * message.c
 *	  Names in messages, in a form that the client's encoding can represent.
 *
 * If an error message contains a character that the client's encoding lacks,
 * the client gets error 22P05 in place of it.  Names are chosen by users, so
 * every name in a message must be passed through dlock_message_text.
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

/* how to check which characters of a text the client's encoding has */
typedef struct Target
{
	int			encoding;		/* of the client */
	Oid			conversion;		/* InvalidOid: not needed, or not available */
	bool		can_check;
	unsigned char *buffer;		/* for the converted text */
	int			size;
} Target;

static bool
is_ascii(const char *string)
{
	for (; *string != '\0'; string++)
		if (IS_HIGHBIT_SET(*string))
			return false;
	return true;
}

/*
 * make_target prepares the check of a text of the given length.  Outside of a
 * transaction it finds no conversion, because that needs a catalog lookup.
 */
static Target
make_target(int length)
{
	Target		target = {0};

	target.encoding = pg_get_client_encoding();
	/* the server sends the bytes unchanged, if the client's encoding allows */
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
 * count_good returns how many bytes at the beginning of a text the client's
 * encoding can represent.  If that cannot be checked, only ASCII counts.
 */
static int
count_good(const Target *target, const char *string, int length)
{
	int			count = 0;

	if (target->can_check && GetDatabaseEncoding() == PG_SQL_ASCII)
		return pg_encoding_verifymbstr(target->encoding, string, length);
	if (target->can_check)
		return pg_do_encoding_conversion_buf(target->conversion,
											 GetDatabaseEncoding(),
											 target->encoding,
											 (unsigned char *) unconstify(char *, string),
											 length, target->buffer,
											 target->size, true);
	while (count < length && !IS_HIGHBIT_SET(string[count]))
		count++;
	return count;
}

/*
 * append_escaped appends the first character of a text in escaped form, and
 * returns the length of the character in bytes.
 */
static int
append_escaped(StringInfo buf, const char *string, int length)
{
	int			bytes = Min(pg_mblen(string), length);

	if (GetDatabaseEncoding() == PG_UTF8)
	{
		pg_wchar	code = utf8_to_unicode((const unsigned char *) string);

		appendStringInfo(buf, code <= 0xFFFF ? "\\u%04X" : "\\U%08X",
						 (unsigned) code);
	}
	else
		for (int i = 0; i < bytes; i++)
			appendStringInfo(buf, "\\x%02X", (unsigned char) string[i]);
	return bytes;
}

/*
 * dlock_message_text returns a text in a form that the client's encoding can
 * represent (the text itself, or palloc'd).  Characters that the encoding
 * lacks are replaced by \uXXXX or \UXXXXXXXX, or, if the database encoding is
 * not UTF8, by \xXX for each byte.
 */
const char *
dlock_message_text(const char *string)
{
	int			length = (int) strlen(string);
	StringInfoData buf;
	Target		target;

	if (pg_get_client_encoding() == GetDatabaseEncoding() ||
		pg_get_client_encoding() == PG_SQL_ASCII || is_ascii(string))
		return string;

	target = make_target(length);
	initStringInfo(&buf);
	for (int done = 0; done < length;)
	{
		int			good = count_good(&target, string + done, length - done);

		if (good == length)
			return string;

		appendBinaryStringInfo(&buf, string + done, good);
		done += good;
		if (done < length)
			done += append_escaped(&buf, string + done, length - done);
	}
	return buf.data;
}

/*
 * dlock_message_detail is an errdetail() for a text that may contain names.
 * The server log gets the text unchanged.
 */
int
dlock_message_detail(const char *detail)
{
	const char *shown = dlock_message_text(detail);

	if (shown != detail)
		errdetail_log("%s", detail);
	return errdetail_internal("%s", shown);
}

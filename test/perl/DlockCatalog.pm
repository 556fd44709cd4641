# DlockCatalog - the objects of the extension, as text
#
#     is(catalog($node, 'one'), catalog($node, 'other'), 'same objects');
#
# One line for each fact that the catalogs know of the extension and of its
# members, without OIDs: what two installations can be compared by.  A member of
# a kind that is not described here is an error, not a gap.
package DlockCatalog;

use strict;
use warnings;

use Exporter 'import';
use DlockNode qw(rows);

our @EXPORT_OK = qw(catalog catalog_sql);

# privileges in an order of their own: GRANTs may come in another one
sub acl
{
	my ($column) = @_;
	return "(SELECT coalesce(string_agg(a::text, ' ' ORDER BY a::text), 'default')"
	  . " FROM pg_catalog.unnest($column) AS a)";
}

# What is told of members of each catalog; "o" is the row.  All names are
# qualified, because the search path is empty.
my %facts = (
	pg_namespace => "SELECT concat_ws(' ', o.nspowner::regrole, " . acl('o.nspacl') . ") FROM pg_namespace AS o WHERE o.oid = m.objid",
	# arguments, defaults, result, language, volatility, strictness, security,
	# parallel safety, cost, settings and body
	pg_proc => "SELECT concat_ws(' ', o.proowner::regrole, " . acl('o.proacl') . ", pg_get_functiondef(o.oid)) FROM pg_proc AS o WHERE o.oid = m.objid",
	pg_class => "SELECT concat_ws(' ', o.relkind, o.relpersistence, o.relreplident, o.relowner::regrole, " . acl('o.relacl') . ",
		(SELECT amname FROM pg_am WHERE oid = o.relam), o.reltablespace, o.reloptions, o.relrowsecurity, o.relforcerowsecurity,
		o.relispartition, pg_get_expr(o.relpartbound, o.oid), pg_get_viewdef(o.oid),
		(SELECT t.reloptions FROM pg_class AS t WHERE t.oid = o.reltoastrelid))
		FROM pg_class AS o WHERE o.oid = m.objid",
	pg_type => "SELECT concat_ws(' ', o.typtype, o.typowner::regrole, " . acl('o.typacl') . ", o.typnotnull, o.typdefault, format_type(o.typbasetype, o.typtypmod),
		(SELECT string_agg(enumlabel, ' ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = o.oid),
		(SELECT string_agg(pg_get_constraintdef(oid), ' ' ORDER BY conname) FROM pg_constraint WHERE contypid = o.oid))
		FROM pg_type AS o WHERE o.oid = m.objid",
	pg_cast => "SELECT concat_ws(' ', o.castfunc::regprocedure, o.castcontext, o.castmethod) FROM pg_cast AS o WHERE o.oid = m.objid",
	pg_operator => "SELECT concat_ws(' ', o.oprowner::regrole, o.oprresult::regtype, o.oprcode, o.oprcom::regoperator, o.oprnegate::regoperator,
		o.oprcanmerge, o.oprcanhash, o.oprrest, o.oprjoin) FROM pg_operator AS o WHERE o.oid = m.objid",
	pg_event_trigger => "SELECT concat_ws(' ', o.evtevent, o.evtowner::regrole, o.evtfoid::regprocedure, o.evtenabled, o.evttags) FROM pg_event_trigger AS o WHERE o.oid = m.objid");

# What is told of the parts of tables, of which only the table is a member.
my $parts = <<'EOSQL';
SELECT 'column', format('%s.%I', m.name, a.attname),
	concat_ws(' ', a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
		a.attcollation::regcollation, a.attstorage, a.attcompression,
		-- the server itself notes a version there
		(SELECT string_agg(x, ' ' ORDER BY x) FROM unnest(a.attoptions) AS x WHERE x NOT LIKE 'pg\_attver=%'), pg_get_expr(d.adbin, d.adrelid),
		(SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM unnest(a.attacl) AS x), col_description(a.attrelid, a.attnum))
  FROM member AS m JOIN pg_attribute AS a ON m.class = 'pg_class' AND a.attrelid = m.objid
  LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', format('%s %I', m.name, c.conname),
	concat_ws(' ', pg_get_constraintdef(c.oid), c.convalidated, obj_description(c.oid, 'pg_constraint'))
  FROM member AS m JOIN pg_constraint AS c ON m.class = 'pg_class' AND c.conrelid = m.objid
UNION ALL
SELECT 'index', format('%s %s', m.name, i.indexrelid::regclass),
	concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisclustered, i.indisreplident, c.reloptions,
		obj_description(i.indexrelid, 'pg_class'))
  FROM member AS m JOIN pg_index AS i ON m.class = 'pg_class' AND i.indrelid = m.objid
  JOIN pg_class AS c ON c.oid = i.indexrelid
UNION ALL
SELECT 'trigger', format('%s %I', m.name, t.tgname),
	concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled, obj_description(t.oid, 'pg_trigger'))
  FROM member AS m JOIN pg_trigger AS t ON m.class = 'pg_class' AND t.tgrelid = m.objid
 WHERE NOT t.tgisinternal
UNION ALL
SELECT 'rule', format('%s %I', m.name, r.rulename), concat_ws(' ', pg_get_ruledef(r.oid), r.ev_enabled)
  FROM member AS m JOIN pg_rewrite AS r ON m.class = 'pg_class' AND r.ev_class = m.objid
UNION ALL
SELECT 'policy', format('%s %I', m.name, p.polname),
	concat_ws(' ', p.polcmd, p.polpermissive, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
  FROM member AS m JOIN pg_policy AS p ON m.class = 'pg_class' AND p.polrelid = m.objid
UNION ALL
SELECT 'inherits', m.name, i.inhparent::regclass::text
  FROM member AS m JOIN pg_inherits AS i ON m.class = 'pg_class' AND i.inhrelid = m.objid
UNION ALL
SELECT 'sequence', m.name,
	concat_ws(' ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle)
  FROM member AS m JOIN pg_sequence AS s ON m.class = 'pg_class' AND s.seqrelid = m.objid
UNION ALL
SELECT 'statistics', m.name, pg_get_statisticsobjdef(s.oid)
  FROM member AS m JOIN pg_statistic_ext AS s ON m.class = 'pg_class' AND s.stxrelid = m.objid
EOSQL

# What is told of the extension and of every member.  What pg_dump takes for
# the privileges that come with the extension is in pg_init_privs.
my $whole = <<'EOSQL';
SELECT 'extension', e.extname::text,
	concat_ws(' ', e.extversion, e.extowner::regrole, e.extnamespace::regnamespace, e.extrelocatable,
		(SELECT string_agg(format('%s %L', t.oid::regclass, t.condition), ' ' ORDER BY t.oid::regclass::text)
		   FROM unnest(e.extconfig, e.extcondition) AS t (oid, condition)),
		obj_description(e.oid, 'pg_extension'))
  FROM pg_extension AS e WHERE e.extname = 'dlock'
UNION ALL
SELECT 'member', m.name, m.class
  FROM member AS m
UNION ALL
SELECT 'comment', m.name, obj_description(m.objid, m.class::name)
  FROM member AS m WHERE obj_description(m.objid, m.class::name) IS NOT NULL
UNION ALL
SELECT 'initial privileges', concat_ws(' ', m.name, nullif(i.objsubid, 0)),
	(SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM unnest(i.initprivs) AS x)
  FROM member AS m JOIN pg_init_privs AS i ON i.classoid = m.classid AND i.objoid = m.objid
UNION ALL
SELECT 'depends', pg_describe_object(d.classid, d.objid, d.objsubid),
	concat_ws(' ', d.deptype, pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid))
  FROM pg_depend AS d
 WHERE EXISTS (SELECT FROM member AS m WHERE m.classid IN (d.classid, d.refclassid)
		AND (m.classid, m.objid) IN ((d.classid, d.objid), (d.refclassid, d.refobjid)))
UNION ALL
SELECT 'label', m.name, concat_ws(' ', l.objsubid, l.provider, l.label)
  FROM member AS m JOIN pg_seclabel AS l ON l.classoid = m.classid AND l.objoid = m.objid
EOSQL

# catalog_sql() gives the query; it can also be run inside a transaction.
sub catalog_sql
{
	my $known = join ', ', map { "'$_'" } sort keys %facts;
	my @facts = map { "SELECT 'fact', m.name, ($facts{$_}) FROM member AS m WHERE m.class = '$_'" } sort keys %facts;
	my $all = join "\nUNION ALL\n", @facts, $parts, $whole,
	  "SELECT 'NOT DESCRIBED', m.name, m.class FROM member AS m WHERE m.class NOT IN ($known)";

	return <<"EOSQL";
SET search_path = '';
WITH member AS (
	SELECT d.classid, d.objid, c.relname::text AS class, pg_describe_object(d.classid, d.objid, 0) AS name
	  FROM pg_depend AS d JOIN pg_extension AS e ON d.refobjid = e.oid JOIN pg_class AS c ON d.classid = c.oid
	 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'dlock'),
line (kind, name, fact) AS ($all)
SELECT regexp_replace(format('%s %s: %s', kind, name, fact), '(pg_toast_)\\d+', '\\1', 'g')
  FROM line ORDER BY 1;
EOSQL
}

# catalog(NODE, DATABASE) gives the text.
sub catalog
{
	my ($node, $dbname) = @_;
	my $text = rows($node, catalog_sql(), $dbname);

	die "DlockCatalog has to learn of more: $text" if $text =~ /^NOT DESCRIBED/m;
	return $text;
}

1;

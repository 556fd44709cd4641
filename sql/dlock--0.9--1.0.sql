/* sql/dlock--0.9--1.0.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION dlock UPDATE TO '1.0'" to load this file. \quit

-- Whatever a change of dlock--1.0.sql does to a new installation, this script
-- does to one of version 0.9, by the same rules: see the beginning of that
-- file.  So far 1.0 has the objects of 0.9.

# Which PostgreSQL dlock is built for: the one whose pg_config PG_CONFIG names;
# else the newest one whose headers Debian's packages have installed; else the
# one of the pg_config in PATH.
ifndef PG_CONFIG
PG_CONFIG := $(patsubst %/lib/pgxs/src/makefiles/pgxs.mk,%/bin/pg_config,$(lastword \
	$(sort $(wildcard /usr/lib/postgresql/*/lib/pgxs/src/makefiles/pgxs.mk))))
PG_CONFIG := $(or $(PG_CONFIG),pg_config)
endif

# Makefile of dlock.  "make help" lists what can be asked for.

MODULE_big = dlock
EXTENSION = dlock
DATA = sql/dlock--0.9.sql sql/dlock--0.9--1.0.sql sql/dlock--1.0.sql
PGFILEDESC = "dlock - lease-based locks"

OBJS = \
	src/api/acquire_api.o \
	src/api/admin_api.o \
	src/api/args.o \
	src/api/change_api.o \
	src/api/deadlock_api.o \
	src/api/fence_api.o \
	src/api/protect_api.o \
	src/api/row_resource.o \
	src/api/view_api.o \
	src/base/clock.o \
	src/base/config.o \
	src/base/debug_point.o \
	src/base/futex.o \
	src/base/interval.o \
	src/base/key.o \
	src/base/message.o \
	src/base/mode.o \
	src/base/scope.o \
	src/base/shape.o \
	src/base/version.o \
	src/base/wait_event.o \
	src/base/words.o \
	src/deadlock/detect.o \
	src/deadlock/digraph.o \
	src/deadlock/waitgraph.o \
	src/dlock.o \
	src/durable/client_rows.o \
	src/durable/extension.o \
	src/durable/image.o \
	src/durable/store.o \
	src/durable/tables.o \
	src/durable/tokens.o \
	src/engine/enqueue.o \
	src/engine/grant.o \
	src/engine/hold_modes.o \
	src/engine/holding.o \
	src/engine/holds.o \
	src/engine/lease.o \
	src/engine/lookup.o \
	src/engine/maintenance.o \
	src/engine/transition.o \
	src/engine/wakeups.o \
	src/session/access.o \
	src/session/acquire.o \
	src/session/acquire_all.o \
	src/session/change.o \
	src/session/events.o \
	src/session/fence.o \
	src/session/flush.o \
	src/session/lease_refs.o \
	src/session/lost.o \
	src/session/quorum.o \
	src/session/release.o \
	src/session/renew.o \
	src/session/session_holds.o \
	src/session/sleep.o \
	src/session/xact.o \
	src/shared/alarm.o \
	src/shared/batch.o \
	src/shared/causes.o \
	src/shared/client.o \
	src/shared/database.o \
	src/shared/deadline.o \
	src/shared/deadlocks.o \
	src/shared/ends.o \
	src/shared/latch.o \
	src/shared/partition.o \
	src/shared/pending.o \
	src/shared/queue.o \
	src/shared/resource.o \
	src/shared/session_map.o \
	src/shared/slots.o \
	src/shared/snapshot.o \
	src/shared/table.o \
	src/shared/waits.o \
	src/shared/writer_watch.o \
	src/worker/client_batch.o \
	src/worker/client_changes.o \
	src/worker/client_maintenance.o \
	src/worker/client_set.o \
	src/worker/hooks.o \
	src/worker/launcher.o \
	src/worker/load.o \
	src/worker/monitor.o \
	src/worker/worker.o \
	src/worker/write.o \
	src/worker/writer.o

# pg_regress: sql/NAME.sql against expected/NAME.out, in this order.
REGRESS = install client acquire acquire_all policy release renew lost modes scope prepare fence protect views errors ownership tables

# Those of them that are about the newest version, or need objects which 0.9
# does not have.  t/027_upgrade.pl runs all others with the objects of 0.9.
REGRESS_NEWEST = install

# isolationtester: test/isolation/specs/NAME.spec, in this order.
ISOLATION = fifo priority shared-groups timeout lock-timeout statement-timeout \
	cancel terminate disconnect upgrade downgrade release-at-commit acquire-all policy \
	acquire-survives-rollback scope-transaction scope-session \
	reentrant-two-sessions expiry force-release lost-update client-merge \
	upgrade-same-client downgrade-overruled session-holds \
	fence-expiry fence-savepoint taken-again release-fence protect-write \
	deadlock-simple deadlock-hard deadlock-soft deadlock-soft-2 \
	deadlock-parallel deadlock-two-sessions deadlock-two-clients deadlock-locks
# These stop processes at debug points, which only a build for tests has.
ISOLATION_STOPS = pending-grant-cancel pending-grant-terminate upgrade-claims hold-modes
ISOLATION += $(if $(DEBUG_POINTS),$(ISOLATION_STOPS))

# "make installcheck" tests what is installed, as PGHOST, PGPORT and PGUSER say
# where; see test/README.md.
REGRESS_PREP = installcheck-databases
REGRESS_OPTS = --use-existing
ISOLATION_OPTS = --use-existing --inputdir=$(srcdir)/test/isolation

EXTRA_CLEAN = .build-flags $(wildcard src/*/*.o) test/bench/empty/*.o test/bench/empty/*.so \
	test/bench/load/load-redis test/bench/load/load-etcd

# PGXS sets srcdir; where it ends in a slash, compilers would see two.
source_dir = $(patsubst %/,%,$(srcdir))

# Points at which a test can stop a process, and settings that switch safety
# off: for tests alone.
PG_CPPFLAGS = -I$(source_dir)/src $(if $(DEBUG_POINTS),-DDLOCK_DEBUG_POINTS)
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers $(if $(WERROR),-Werror)

# The headers of PostgreSQL 15 declare callbacks without their arguments, which
# C23 takes for none.
PG_CFLAGS += $(if $(filter 15,$(MAJORVERSION)),-std=gnu17)

# Nobody replaces a function of dlock by one of another library.  So calls from
# file to file need no table, and exported functions can be inlined.
PG_CFLAGS += -fno-semantic-interposition
SHLIB_LINK += -Wl,-Bsymbolic-functions

# The same bytes wherever the source and the objects are.  Debuggers find the
# source when they are started in its folder.
PG_CFLAGS += "-ffile-prefix-map=$(CURDIR)=." "-ffile-prefix-map=$(source_dir)/="

# Bitcode for the JIT would need clang and bring nothing: dlock's functions
# are never inlined into expressions with profit.
override with_llvm = no

include $(dir $(lastword $(MAKEFILE_LIST)))src/tools/pg_config.mk
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))

ifneq ($(PGXS),)
include $(PGXS)

# The folder of the build can be another one than that of the source:
#     make -f /path/to/dlock/Makefile
# make looks for files in both, and would take old objects from the source.
ifneq ($(abspath $(srcdir)),$(CURDIR))
ifneq ($(wildcard $(srcdir)/.build-flags),)
$(error dlock has been built in $(abspath $(srcdir)): run "make clean" there first)
endif
endif

# PGXS tracks neither headers nor flags.  A build with other flags starts
# anew, so that WERROR=1 cannot pass over objects compiled without it.
HDRS = $(wildcard $(srcdir)/src/*/*.h)
$(OBJS): $(HDRS) .build-flags
.build-flags: FORCE
	@$(MKDIR_P) $(sort $(dir $(OBJS)))
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS)' | cmp -s - $@ || \
		echo '$(CC) $(CPPFLAGS) $(CFLAGS)' >$@
FORCE:
else
# The targets below install what is missing; these two cannot go on.
all install:
	@echo 'pg_config not found: run "make packages", or set PG_CONFIG' >&2; exit 1
endif

.DEFAULT_GOAL := all

help:
	@echo 'make                   build dlock.so (WERROR=1: warnings are errors; DEBUG_POINTS=1: for tests)'
	@echo 'make install           install into the server that PG_CONFIG names'
	@echo 'make installcheck      test what is installed, on a running server that preloads dlock'
	@echo 'make quickstart        private server and a guided tour; quickstart-stop removes it'
	@echo 'make test              all suites, each also on its own:'
	@echo 'make regress isolation pgtap tap     (TESTS="name ..." runs only those)'
	@echo 'make test-versions     compile and test on PostgreSQL 15 to 19, in roots of other Debian releases'
	@echo '                       (VERSIONS="15 16=/path/to/pg_config", QUICK=1, RECORD=1 for docs/compatibility.md)'
	@echo 'make test-install      build and install as packagers do, then installcheck over TLS (2 minutes)'
	@echo 'make dist              archive of what is committed, for PGXN'
	@echo 'make package           Debian package, in .package/; test-package tests it (10 minutes)'
	@echo 'make torture           the torture test on its own (SECONDS=60, SEED=1, CLIENTS=28)'
	@echo 'make ha-demo           three nodes with Patroni, etcd and HAProxy, and a fail-over; ha-demo-stop removes them'
	@echo 'make ha-test           disturb such a cluster and judge (ROUNDS=1, SEED=, NEMESIS="name ...")'
	@echo 'make bench             compare speeds (QUICK=1, or see docs/benchmarks.md)'
	@echo 'make bench-deps        install the servers that it compares with'
	@echo 'make sanitize          tests with compiler sanitizers and assertions (minutes)'
	@echo 'make memcheck          tests under valgrind (minutes)'
	@echo 'make model             walk through the models in docs/model with Spin (minutes; QUICK=1, TESTS="name ...")'
	@echo 'make check-all         layers, exports, checkver, whitespace, indent-check, lint'
	@echo 'make indent            format src/ as PostgreSQL formats its own'
	@echo 'make packages          install the Debian packages that all this needs'

packages:
	@test/tools/packages.sh all

quickstart:
	@test/tools/quickstart.sh start

quickstart-stop:
	@test/tools/quickstart.sh stop

# The databases that "make installcheck" uses; what it cannot run is named.
installcheck-databases:
	@$(srcdir)/test/tools/installcheck.sh '$(bindir)/psql' '$(CONTRIB_TESTDB)' '$(ISOLATION_TESTDB)'
	@$(if $(DEBUG_POINTS),,echo '# left out, as they need a build with DEBUG_POINTS=1: $(ISOLATION_STOPS)')

install-test:
	@$(MAKE) --no-print-directory -C $(srcdir)/test/modules/dlock_test install \
		PG_CONFIG='$(PG_CONFIG)' DESTDIR='$(DESTDIR)'

test:
	@test/tools/run

regress isolation pgtap tap:
	@test/tools/run $@ $(TESTS)

test-versions:
	@test/versions/run $(foreach p,VERSIONS QUICK RECORD,"$(p)=$($(p))")

dist:
	@test/tools/dist.sh

test-install:
	@test/install/builds
	@test/install/installcheck

package:
	@test/package/run build

test-package:
	@test/package/run test

torture:
	@test/torture/run "$(SECONDS)" "$(SEED)" "$(CLIENTS)"

sanitize memcheck:
	@test/memory/run $@ $(TESTS)

BENCH_PARAMETERS = QUICK WORKLOAD CONTENDERS CLIENTS SECONDS SNAPSHOT_SECONDS ROUNDS PLOT
bench:
	@test/bench/run $(foreach p,$(BENCH_PARAMETERS),"$(p)=$($(p))")

bench-deps:
	@test/tools/packages.sh build bench

ha-demo:
	@test/ha/run demo

ha-demo-stop:
	@test/ha/run stop

ha-test:
	@test/ha/run test $(foreach p,ROUNDS SEED NEMESIS CLIENTS SETTINGS,"$(p)=$($(p))")

model:
	@test/model/run $(if $(QUICK),QUICK=1) $(TESTS)

layers:
	@test/checks/layers.sh

exports:
	@$(MAKE) -s all
	@test/checks/exports.sh dlock.so

checkver:
	@test/checks/version.sh

whitespace:
	@test/checks/whitespace.sh

lint:
	@test/checks/lint.sh

indent:
	@test/checks/indent.sh fix

indent-check:
	@test/checks/indent.sh

check-all: layers checkver whitespace exports indent-check lint

# For the scripts in test/, which ask for the lists above.
print-%:
	@echo '$($*)'

.PHONY: help packages quickstart quickstart-stop install-test test regress isolation pgtap \
	tap test-versions torture sanitize memcheck model bench bench-deps ha-demo ha-demo-stop \
	ha-test layers exports checkver whitespace lint indent indent-check check-all \
	installcheck-databases dist test-install package test-package FORCE

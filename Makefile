# Every task of the package. The toolchain is taken from PATH, else from /opt/swift.
export PATH := $(PATH):/opt/swift/usr/bin

PREFIX ?= /usr/local
DESTDIR ?=
BINDIR ?= $(PREFIX)/bin
SBINDIR ?= $(PREFIX)/sbin
# bpcp looks for its other end in ../libexec/bproc, seen from where it lies.
LIBEXECDIR ?= $(BINDIR)/../libexec/bproc
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/bproc
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
# Where each shell looks for completions of what is installed with this prefix.
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHCOMPDIR ?= $(PREFIX)/share/zsh/site-functions
FISHCOMPDIR ?= $(PREFIX)/share/fish/vendor_completions.d
# systemd looks here whatever the prefix; a prefix of one's own keeps everything inside.
UNITDIR ?= $(if $(filter /usr /usr/local,$(PREFIX)),/lib/systemd/system,$(PREFIX)/lib/systemd/system)

SWIFT ?= swift
INSTALL ?= install
NODES ?= 1023

# One configuration only: tests run what users run.
CONFIGURATION = release
PRODUCTS = .build/$(CONFIGURATION)
DAEMONS = bpmaster bpslave
COMMANDS = bpsh bpcp bpstat bpps bpkill bpctl bplib bpcluster bpimage
FORMATTED = Sources Tests

# libbproc for C programs: the sources of the CBProc target, without Swift.
LIBRARY = out/lib
LIBRARY_ABI = 4
LIBRARY_FILE = libbproc.so.$(LIBRARY_ABI).0.0
LIBRARY_NAMES = scripts/libbproc.map
LIBRARY_SOURCES = $(wildcard Sources/CBProc/*.c)
LIBRARY_HEADERS = $(wildcard Sources/CBProc/*.h Sources/CBProc/include/sys/*.h \
	Sources/CLocalProtocol/include/*.h Sources/CImageFormat/include/*.h \
	Sources/CRestore/*.h Sources/CRestore/include/*.h)
# The restore code, which images carry, as Package.swift has it compiled.
RESTORE_SOURCES = $(wildcard Sources/CRestore/*.c Sources/CRestore/*.S)
RESTORE_OBJECTS = $(patsubst Sources/CRestore/%,$(LIBRARY)/restore/%.o,$(RESTORE_SOURCES))
RESTORE_CFLAGS = -Os -ffreestanding -fno-jump-tables -fno-stack-protector -mgeneral-regs-only \
	-fno-unwind-tables -fno-asynchronous-unwind-tables -fcf-protection=none -Wno-attributes
LIBRARY_OBJECTS = $(LIBRARY_SOURCES:Sources/CBProc/%.c=$(LIBRARY)/%.o) $(RESTORE_OBJECTS)
LIBRARY_CFLAGS = -O2 -fPIC -std=gnu11 -Wall -Werror -ISources/CBProc/include \
	-ISources/CLocalProtocol/include -ISources/CImageFormat/include -ISources/CRestore/include \
	-DBPROC_SBINDIR='"$(SBINDIR)"'

all: build library

prepare:
	@scripts/prepare

build: prepare
	$(SWIFT) build -c $(CONFIGURATION)

# Programs that some tests launch come from the benchmarks.
test: prepare
	$(MAKE) --silent -C Benchmarks workloads
	$(SWIFT) build -c $(CONFIGURATION)
	$(SWIFT) build -c $(CONFIGURATION) --build-tests
	$(SWIFT) test -c $(CONFIGURATION) --skip-build

bench: build
	$(MAKE) -C Benchmarks
	Benchmarks/run

demo: build
	$(MAKE) --silent -C Benchmarks
	@scripts/demo $(NODES)

library: $(LIBRARY)/libbproc.a $(LIBRARY)/$(LIBRARY_FILE)

$(LIBRARY)/%.o: Sources/CBProc/%.c $(LIBRARY_HEADERS)
	@mkdir -p $(LIBRARY)
	$(CC) $(LIBRARY_CFLAGS) $(CFLAGS) -c -o $@ $<

$(LIBRARY)/restore/%.o: Sources/CRestore/% $(LIBRARY_HEADERS)
	@mkdir -p $(LIBRARY)/restore
	$(CC) $(LIBRARY_CFLAGS) $(RESTORE_CFLAGS) -c -o $@ $<

$(LIBRARY)/libbproc.a: $(LIBRARY_OBJECTS)
	rm -f $@
	$(AR) rcs $@ $^

$(LIBRARY)/$(LIBRARY_FILE): $(LIBRARY_OBJECTS) $(LIBRARY_NAMES)
	$(CC) -shared -Wl,-soname,libbproc.so.$(LIBRARY_ABI) -Wl,--version-script=$(LIBRARY_NAMES) \
		-Wl,--no-undefined $(LDFLAGS) -o $@ $(LIBRARY_OBJECTS)

# Installs what `make` has made; builds nothing, so that it can run as root over another user's build.
install: install-library install-completions
	$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR) $(DESTDIR)$(UNITDIR) $(DESTDIR)$(DOCDIR)
	$(INSTALL) -s $(COMMANDS:%=$(PRODUCTS)/%) $(DESTDIR)$(BINDIR)
	$(INSTALL) -s $(DAEMONS:%=$(PRODUCTS)/%) $(DESTDIR)$(SBINDIR)
	$(INSTALL) -d $(DESTDIR)$(LIBEXECDIR)
	$(INSTALL) -s $(PRODUCTS)/bpcp-node $(DESTDIR)$(LIBEXECDIR)
	for unit in systemd/*.service; do \
		sed 's|@SBINDIR@|$(SBINDIR)|' $$unit >$(DESTDIR)$(UNITDIR)/$${unit##*/} && \
		chmod 0644 $(DESTDIR)$(UNITDIR)/$${unit##*/} || exit 1; \
	done
	$(INSTALL) -m 0644 etc/*.json5 README.md LICENSE $(DESTDIR)$(DOCDIR)
	for page in $(wildcard man/*.[124-8]); do \
		folder=$(DESTDIR)$(MANDIR)/man$${page##*.} && \
		$(INSTALL) -d $$folder && $(INSTALL) -m 0644 $$page $$folder || exit 1; \
	done

# The commands themselves say what can be completed.
install-completions:
	$(INSTALL) -d $(DESTDIR)$(BASHCOMPDIR) $(DESTDIR)$(ZSHCOMPDIR) $(DESTDIR)$(FISHCOMPDIR)
	for name in $(DAEMONS) $(COMMANDS); do \
		scripts/completion $(PRODUCTS)/$$name bash >$(DESTDIR)$(BASHCOMPDIR)/$$name && \
		scripts/completion $(PRODUCTS)/$$name zsh >$(DESTDIR)$(ZSHCOMPDIR)/_$$name && \
		scripts/completion $(PRODUCTS)/$$name fish >$(DESTDIR)$(FISHCOMPDIR)/$$name.fish && \
		chmod 0644 $(DESTDIR)$(BASHCOMPDIR)/$$name $(DESTDIR)$(ZSHCOMPDIR)/_$$name \
			$(DESTDIR)$(FISHCOMPDIR)/$$name.fish || exit 1; \
	done

# What a program needs to be built with libbproc. A page of section 3 describes a group of calls:
# each name in its NAME line becomes a page that leads there.
install-library:
	$(INSTALL) -d $(DESTDIR)$(INCLUDEDIR)/sys $(DESTDIR)$(LIBDIR) $(DESTDIR)$(PKGCONFIGDIR) \
		$(DESTDIR)$(MANDIR)/man3
	$(INSTALL) -m 0644 Sources/CBProc/include/sys/*.h $(DESTDIR)$(INCLUDEDIR)/sys
	$(INSTALL) -m 0644 $(LIBRARY)/libbproc.a $(LIBRARY)/$(LIBRARY_FILE) $(DESTDIR)$(LIBDIR)
	ln -sf $(LIBRARY_FILE) $(DESTDIR)$(LIBDIR)/libbproc.so.$(LIBRARY_ABI)
	ln -sf libbproc.so.$(LIBRARY_ABI) $(DESTDIR)$(LIBDIR)/libbproc.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
		scripts/bproc.pc.in >$(DESTDIR)$(PKGCONFIGDIR)/bproc.pc
	chmod 0644 $(DESTDIR)$(PKGCONFIGDIR)/bproc.pc
	for page in $(wildcard man/*.3); do \
		for name in `sed -n '/^\.SH NAME/{n;s/ \\\\-.*//;s/,//g;p;q;}' $$page`; do \
			link=$(DESTDIR)$(MANDIR)/man3/$$name.3 && \
			echo ".so man3/$${page##*/}" >$$link && chmod 0644 $$link || exit 1; \
		done; \
		$(INSTALL) -m 0644 $$page $(DESTDIR)$(MANDIR)/man3 || exit 1; \
	done

fmt:
	$(SWIFT) format --in-place --parallel --recursive $(FORMATTED)

lint:
	$(SWIFT) format lint --strict --parallel --recursive $(FORMATTED)

clean:
	rm -rf .build out

.PHONY: all prepare build test bench demo library install install-library install-completions fmt lint clean

# Long fuzzing by hand: make fuzz TARGET=image SECONDS=600 (TARGET empty: all of them).
SECONDS ?= 60
.PHONY: fuzz
fuzz:
	$(SWIFT) build -c $(CONFIGURATION) --product fuzz
	@for target in $(or $(TARGET),`$(PRODUCTS)/fuzz list`); do $(PRODUCTS)/fuzz $$target $(SECONDS) || exit 1; done

# Kills at random on a cluster of this machine, and at every stage of a launch, each ROUNDS times:
# make chaos MINUTES=20 ROUNDS=20 [SEED=7]
MINUTES ?= 20
ROUNDS ?= 20
.PHONY: chaos
chaos: build
	$(MAKE) --silent -C Benchmarks chaos
	Benchmarks/chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))
	Benchmarks/stages --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))

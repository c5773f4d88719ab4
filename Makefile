# Builds launcher, and what runs it on a board. `make help` lists targets and variables.

BOARD         ?= $(if $(filter run initramfs,$(MAKECMDGOALS)),qemu-aarch64,host)
CONFIG        ?= config.h
CROSS_COMPILE ?= $(shell sed -n 's/^\#define BOARD_CROSS *"\(.*\)"/\1/p' board/$(BOARD)/board.h)
PREFIX        ?= /usr/local
CFLAGS        ?= -Os
CC             = $(CROSS_COMPILE)gcc

ifeq ($(wildcard board/$(BOARD)/board.h),)
$(error no board is named '$(BOARD)'; there are: $(notdir $(patsubst %/,%,$(wildcard board/*/))))
endif

# A toolchain of musl is used as it is; another one gets a musl that is built for it once.
ifneq ($(findstring musl,$(shell $(CC) -dumpmachine 2>/dev/null)),)
TRIPLE := $(shell $(CC) -dumpmachine)
CCMUSL  = $(CC)
else
TRIPLE := $(or $(shell $(CROSS_COMPILE)gcc -dumpmachine 2>/dev/null),$(patsubst %-,%,\
          $(or $(notdir $(CROSS_COMPILE)),$(shell uname -m)-linux-gnu-)))
MUSL    = out/musl/$(TRIPLE)/cc
CCMUSL  = $(if $(filter-out $(CROSS_COMPILE)gcc,$(CC)),REALCC='$(CC)' )$(MUSL)
endif
ARCH := $(patsubst arm%,armv7,$(firstword $(subst -, ,$(TRIPLE))))

O      = out/$(BOARD)
IMAGES = out/images/$(ARCH)/toybox.img

WARNINGS = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wold-style-definition -Wvla \
           -Wformat=2 -Wno-missing-field-initializers -Wno-missing-braces -Wcast-qual -Wpointer-arith -Wwrite-strings -Wundef
override CFLAGS   += -std=gnu11 -fPIE -ffunction-sections -fdata-sections -fno-unwind-tables \
                     -fno-asynchronous-unwind-tables -fstack-protector-strong \
                     -ffile-prefix-map=$(CURDIR)=.
override CPPFLAGS += -isystem out/src/lz4/lib -isystem out/src/signify-openbsd \
                     -DBOARD_H='"board/$(BOARD)/board.h"' -DCONFIG_H='"$(abspath $(CONFIG))"' \
                     $(if $(FAULTS),-DFAULTS=1) -DKEYS='$(foreach k,$(KEYS),"$(lastword $(file <$k))",)' \
                     -DEMBED='$(foreach i,$(EMBED),EMBEDDED("$(notdir $i)", "$(abspath $i)"))'
# It has to unroll what the rules of the policy go through.
override CFLAGS   += $(if $(findstring clang,$(CC)),-mllvm -pragma-unroll-threshold=200000)
# musl does not protect the relocated data of a static-pie, so RELRO would only cost its padding.
override LDFLAGS  += -static-pie -s -Wl,--no-dynamic-linker,--gc-sections,--build-id=none \
                     -Wl,-z,text,-z,noseparate-code,-z,norelro,--sort-section=alignment

MAKEFLAGS += -r

all: $(O)/launcher

$(O)/launcher: $(O)/launcher.o $(O)/lib
	$(CCMUSL) $(CFLAGS) $(LDFLAGS) -o $@ $< $(O)/lib/*.o

# What no compiler folds of the rules of the policy runs here, with the first part of the program.
$(O)/needs: board/policy.c launcher.c $(CONFIG) $(wildcard board/$(BOARD)/board.h) $(O)/flags $(O)/lib
	sed '/^\/\* ==== Part II/,$$d' launcher.c >$(O)/words.h
	gcc $(CPPFLAGS) -UEMBED -DEMBED= -DNATIVE -I. -I$(O) -O1 -std=gnu11 -w -o $(O)/policy board/policy.c
	$(O)/policy >$@

$(O)/launcher.o: launcher.c $(O)/flags $(O)/needs $(O)/lib $(EMBED)
	$(CCMUSL) $(CPPFLAGS) $(CFLAGS) $(WARNINGS) -MMD -c -o $@ $<

$(O)/lib: images/libraries images/source $(O)/flags $(MUSL)
	images/libraries $@ $(CCMUSL) $(CFLAGS)

# What the objects depend on beside files: other flags, another policy or compiler.
$(O)/flags: FORCE
	@mkdir -p $(O)
	@echo "$$FLAGS" | cmp -s - $@ || echo "$$FLAGS" >$@
export FLAGS = $(CCMUSL) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)

-include $(O)/launcher.d

out/musl/$(TRIPLE)/cc: images/musl images/source
	images/musl '$(CROSS_COMPILE)' out/musl/$(TRIPLE)

images: $(IMAGES)

out/images/$(ARCH)/%.img: out/images/$(ARCH)/%/root images/pack out/images/$(ARCH)/key $(KEY)
	images/pack --name $* --arch $(ARCH) $(if $(KEY),--key $(KEY)) $< -o $@

# An image that another key has signed, or none, is another image.
out/images/$(ARCH)/key: FORCE
	@mkdir -p $(@D)
	@echo '$(KEY)' | cmp -s - $@ || echo '$(KEY)' >$@

out/images/$(ARCH)/dhcp/root: $(wildcard images/dhcp/*)
	images/dhcp/build $(ARCH) $@

out/images/$(ARCH)/toybox/root: $(wildcard images/toybox/* images/toybox/etc/*) $(MUSL)
	images/toybox/build '$(or $(MUSL),$(CC))' $@

initramfs: $(O)/initramfs.cpio.lz4

$(O)/initramfs.cpio.lz4: $(O)/launcher $(IMAGES) board/initramfs $(wildcard board/$(BOARD)/*)
	board/initramfs $(BOARD) -o $@ $< $(IMAGES)

run: $(O)/launcher $(IMAGES) $(if $(filter host,$(BOARD)),,initramfs)
	board/$(BOARD)/run

test:
	tests/run

bench:
	tests/bench/run

fuzz:
	tests/fuzz $(or $(SECONDS),60) $(TARGET)

install: all
	install -D -m 755 $(O)/launcher $(DESTDIR)$(PREFIX)/bin/launcher

size:
	images/size $(BOARD) $(SINCE)

dist:
	mkdir -p out
	git archive --prefix=launcher/ -o out/launcher.tar.gz HEAD

clean:
	rm -rf out

help:
	@echo 'make            out/$(BOARD)/launcher'
	@echo 'make run        boots the board in QEMU (qemu-aarch64); BOARD=host runs it here'
	@echo 'make images     $(IMAGES)'
	@echo 'make initramfs  launcher, images and modules of the board (qemu-aarch64)'
	@echo 'make test       every test'
	@echo 'make bench      tests/bench/RESULTS.md: beside other programs and beside the floor'
	@echo 'make fuzz       SECONDS=60 for each TARGET=name of tests/fuzz'
	@echo 'make size       bytes of each chapter; SINCE=commit or the last tag: what they have grown by'
	@echo 'make install    to $$(DESTDIR)$$(PREFIX)/bin, PREFIX=$(PREFIX)'
	@echo 'make dist       out/launcher.tar.gz of the last commit'
	@echo 'make clean      removes out, downloads too'
	@echo 'BOARD=$(BOARD)  one of: $(notdir $(patsubst %/,%,$(wildcard board/*/)))'
	@echo 'CONFIG=$(CONFIG)  the policy'
	@echo 'KEYS=$(KEYS)  NAME.pub of images/keygen: only images that they have signed are run'
	@echo 'EMBED=$(EMBED)  images that become a part of the launcher'
	@echo 'KEY=$(KEY)  NAME.sec of images/keygen: signs the images'
	@echo 'CROSS_COMPILE=$(CROSS_COMPILE)  prefix of the compiler, the board knows a default'

.PHONY: all images initramfs run test bench fuzz install size dist clean help FORCE
.DELETE_ON_ERROR:

# aigate: `make` alone lists what there is.

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# What the tests need beside Go, as Debian's packages: what the attack scripts
# use, what ordinary work inside is tried with, and a C compiler for the race
# detector. PACKAGE:PROGRAM is content with a program from elsewhere. The
# benchmarks compare with fd and slirp4netns.
TEST_PACKAGES  = $(shell sed '/^\#/d' e2e/apt-packages.txt) \
	gcc libc6-dev less patch gdb fakeroot vim:vim python3-venv nodejs:node npm:npm
VM_PACKAGES    = qemu-system-x86:qemu-system-x86_64 cpio kmod xz-utils systemd dbus dbus-user-session libpam-systemd
BENCH_PACKAGES = bubblewrap fd-find gcc iproute2 libc6-dev make slirp4netns

VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.DEFAULT_GOAL := help
# Scripts change inside of their folder, which make does not see.
.PHONY: docs/attacks.md help test-vm test-vm-limits test-vm-short vm-deps build release check format vet staticcheck race test bench bench-docs demo deps bench-deps

help: ## this list
	@sed -n 's/^\([a-z/.-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r target what; do \
		printf '  make %-16s %s\n' "$$target" "$$what"; \
	done

build: ## ./aigate, a static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o aigate .

release: ## dist/: archives for four platforms, checksums, SBOMs; the same bytes whoever makes them
	go run ./release -out dist

demo: build ## what a sandboxed command can and cannot reach; touches no configuration
	@demo/demo.sh ./aigate

# -count=1: e2e builds and attacks the binary, which go's cache of test results
# does not know; a cached "ok" would be that of an older product.
test-vm: deps vm-deps ## every attack under Debian's kernels 6.1 and 6.12, with cgroup v2 and with systemd; takes hours
	AIGATE_VM=all go test -count=1 -timeout 12h -v -run '^TestVM$$' ./e2e

# The part of it that is about limits; some ten minutes. And the least of that, which CI can wait for.
test-vm-limits: deps vm-deps ## of that, the attacks on limits
	AIGATE_VM=limits go test -count=1 -timeout 40m -v -run '^TestVM$$' ./e2e

# Only root can start the machines, so nobody else needs qemu.
test-vm-short: ## the most important of these, in some three minutes
	@[ "$$(id -u)" != 0 ] || $(MAKE) --no-print-directory vm-deps
	AIGATE_VM=short go test -count=1 -timeout 15m -v -run '^TestVM$$' ./e2e

test: deps ## every test; installs what they need (root also runs the half that has root as the caller)
	go test -count=1 -timeout 25m ./...

check: deps format vet staticcheck race test-vm-short ## all that CI checks

format:
	@unformatted=$$(gofmt -l .) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "gofmt -w is needed for:"; echo "$$unformatted"; exit 1; fi

vet:
	GOOS=linux go vet ./...
	GOOS=linux GOARCH=arm64 go vet ./...
	GOOS=darwin go vet ./...

staticcheck:
	go run $(STATICCHECK) ./...

race:
	CGO_ENABLED=1 go test -race -count=1 -timeout 25m ./...

bench: build bench-deps ## start-up, pattern matching, many masks, the watcher, the network: ratios from one run
	go run ./bench -aigate ./aigate

bench-docs: build bench-deps ## the same, written to docs/benchmarks.md
	go run ./bench -aigate ./aigate -write docs/benchmarks.md

docs/attacks.md: ## the list of attacks, from the first lines of the scripts
	awk -f docs/attacks.awk e2e/testdata/attack/*.txt >$@

deps: ## install what the tests need, or say how
	@$(call install,$(TEST_PACKAGES))

vm-deps:
	@$(call install,$(VM_PACKAGES))

bench-deps:
	@$(call install,$(BENCH_PACKAGES))

# install asks dpkg what is missing and calls apt-get for that alone.
define install
missing=$$(for p in $(1); do \
	case $$p in *:*) command -v "$${p#*:}" >/dev/null && continue; esac; \
	p=$${p%:*}; \
	dpkg-query -Wf '$${Status}' "$$p" 2>/dev/null | grep -q 'ok installed' || printf ' %s' "$$p"; done); \
if [ -z "$$missing" ]; then exit 0; \
elif ! command -v apt-get >/dev/null; then \
	echo "not a Debian or Ubuntu machine; the tests need what these packages hold:$$missing"; \
elif [ "$$(id -u)" != 0 ]; then \
	echo "missing packages; type:"; echo; echo "    sudo apt-get update && sudo apt-get install -y$$missing"; echo; exit 1; \
else \
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; \
fi
endef

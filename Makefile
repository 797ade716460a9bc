# The commands of the project. `make demo` to see it, `make test` to trust it; the others measure and probe.

CARGO ?= cargo
# Folder of hostile byte streams for `make corpus`; used by `make test` when it is there.
CORPUS ?= ../shared/corpus
# A checkout of HAProxy's source for `make haproxy-tests`.
CHECKOUT ?= ../haproxy
# A checkout of nginx-tests for `make nginx-tests`.
NGINX_TESTS ?= $(if $(filter command line,$(origin CHECKOUT)),$(CHECKOUT),../nginx-tests)
# A clone of the RustSec advisory database for `make audit`, where it cannot be fetched.
ADVISORY_DB ?=
# Flags of the benchmark, such as BENCH="--case log --rounds 5".
BENCH ?=
# Seconds for each fuzz target, and the targets that `make test` runs, two at a time.
FUZZ_SECONDS ?= 60
FUZZED = haproxy_cfg expression cli proxy
# The codecs play the same streams by themselves.
ifneq ($(wildcard $(CORPUS)/index.tsv),)
export MAINSTAY_CORPUS = $(abspath $(CORPUS))
endif

PACKAGES = haproxy nginx libnginx-mod-stream wrk redis-server postgresql chromium socat varnish \
           curl iproute2 util-linux python3 g++ \
           perl libio-socket-ssl-perl libnet-ssleay-perl libprotocol-websocket-perl openssl
# One program of each package tells whether it is there.
PROGRAMS = haproxy nginx wrk redis-server psql chromium socat varnishd curl ip unshare python3 c++ perl openssl

TARGET = $(or $(CARGO_TARGET_DIR),target)
export PATH := $(HOME)/.cargo/bin:$(PATH):/usr/sbin:/sbin

.PHONY: demo test tools bench faults fuzz audit corpus haproxy-tests nginx-tests

demo: ## Mainstay with an unchanged haproxy.cfg in front of three instances; one is killed under load. ONCE=1 ends then
	@for program in $(CARGO) cc ip unshare setpriv; do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	 [ -z "$$missing" ] || { echo "missing:$$missing. Rust comes from https://rustup.rs, the others with:"; \
	   echo "  sudo apt-get install gcc libc6-dev iproute2 util-linux"; exit 1; }
	@getent passwd haproxy >/dev/null || if [ "$$(id -u)" = 0 ]; \
	 then echo "demo: makes the user haproxy, whom demo/haproxy.cfg names (userdel haproxy takes it away)"; \
	   useradd --system --user-group --no-create-home --shell /usr/sbin/nologin haproxy; \
	 else echo "demo/haproxy.cfg names the user haproxy, and there is none. Make it with:"; \
	   echo "  sudo useradd --system --user-group --no-create-home --shell /usr/sbin/nologin haproxy"; exit 1; fi
	$(CARGO) xtask demo $(if $(ONCE),--once)

test: tools ## Everything that must hold before a commit
	$(CARGO) fmt --all --check
	$(CARGO) xtask tidy
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) build --workspace --all-targets
	@if command -v cargo-nextest >/dev/null; \
	 then echo "cargo nextest run --workspace"; $(CARGO) nextest run --workspace; \
	 else echo "cargo test --workspace (no cargo-nextest)"; $(CARGO) test --workspace; fi
	@if [ -f "$(CORPUS)/run_raw.py" ]; \
	 then $(CARGO) xtask corpus "$(CORPUS)" --binary "$(TARGET)/debug/mainstay"; \
	 else echo "corpus: not there ($(CORPUS)), not played"; fi
	$(CARGO) xtask fuzz $(FUZZED) --seconds $(FUZZ_SECONDS) --jobs 2

tools: ## Peers and servers that the tests use
	@missing=""; for program in $(PROGRAMS); do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	 [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing="$$missing nginx-stream"; \
	 for module in IO::Socket::SSL Net::SSLeay Protocol::WebSocket; do \
	   perl -M$$module -e 1 2>/dev/null || missing="$$missing perl:$$module"; done; \
	 [ -z "$$missing" ] && exit 0; \
	 if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	   apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(PACKAGES); \
	 else echo "missing:$$missing. Install with:"; echo "  sudo apt-get install $(PACKAGES)"; exit 1; fi

bench: tools ## CPU per request beside HAProxy and nginx; writes benchmarks/results.md
	$(CARGO) build --release -p app -p benchmarks
	$(TARGET)/release/benchmarks --program "mainstay=$(TARGET)/release/mainstay" $(BENCH)

faults: tools ## The end-to-end stories in full length against the optimised binary
	$(CARGO) build --profile quick -p app -p demo
	@if command -v cargo-nextest >/dev/null; \
	 then E2E_FULL=1 $(CARGO) nextest run --cargo-profile quick -p e2e; \
	 else E2E_FULL=1 $(CARGO) test --profile quick -p e2e -- --test-threads=1; fi

fuzz: tools ## Each fuzz target for FUZZ_SECONDS
	$(CARGO) xtask fuzz --seconds $(FUZZ_SECONDS)

audit: ## Licences, bans, sources and known advisories of the dependencies
	$(CARGO) xtask audit $(if $(ADVISORY_DB),--advisory-db "$(ADVISORY_DB)")

corpus: ## Hostile byte streams of CORPUS, whole and byte by byte: 0 DANGER, 0 HARD, no +open
	$(CARGO) build --profile quick -p app
	$(CARGO) xtask corpus "$(CORPUS)" --binary "$(TARGET)/quick/mainstay"

haproxy-tests: tools ## HAProxy's own tests from CHECKOUT, with our binary in its place; a skip is a failure
	$(CARGO) build -p app
	$(CARGO) xtask haproxy-tests "$(CHECKOUT)" --binary "$(TARGET)/debug/mainstay"

nginx-tests: tools ## nginx's own tests from CHECKOUT (nginx-tests), with our binary in its place; a skip is a failure
	$(CARGO) build -p app
	$(CARGO) xtask nginx-tests "$(NGINX_TESTS)" --binary "$(TARGET)/debug/mainstay"

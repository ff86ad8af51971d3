# Everything a person runs on a checkout. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

EXAMPLE ?= finance
DEMO_SECONDS ?=
export EXAMPLE DEMO_SECONDS
BENCH ?= full
ONLY ?=
PACKAGES ?=

# A build machine clones afresh each time; what was compiled before is kept for it outside the clone.
ifdef CI
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/millstream/target
export CARGO_TERM_COLOR ?= never
# What CI builds is what Cargo.lock says, or it fails.
LOCKED := --locked
endif

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: bootstrap
bootstrap: ## install what is missing (the other targets call it)
	@scripts/bootstrap

.PHONY: build
build: bootstrap ## the program, optimised: target/release/millstream
	@scripts/ui
	@cargo build $(LOCKED) --release --package millstream --bin millstream

.PHONY: ui
ui: bootstrap ## the web UI: ui/dist
	@scripts/ui

.PHONY: demo
demo: bootstrap ## an example, live [EXAMPLE=finance] [DEMO_SECONDS=30: ends by itself]
	@scripts/demo

.PHONY: test
test: bootstrap ## every test; starts the servers it needs
	@scripts/bootstrap faketime
	@scripts/bootstrap browser
	@scripts/clients
	@scripts/promtool
	@scripts/ui
	@cd ui && npm run --silent check && npm run --silent e2e
	@cargo test $(LOCKED) --workspace

.PHONY: packages
packages: bootstrap ## public dbt packages, built by dbt and by this [PACKAGES=the folder that holds them]
	@[ -n "$(PACKAGES)" ] || { echo 'which folder holds them? make packages PACKAGES=folder' >&2; exit 2; }
	@scripts/clients
	@MILLSTREAM_DBT_PACKAGES="$(PACKAGES)" cargo test $(LOCKED) --package millstream --test dbt -- --nocapture packages::

.PHONY: bench
bench: build ## ratios to psql, pg_recvlogical and Debezium [BENCH=full|quick|smoke] [ONLY="inserts …"]
	@cargo build $(LOCKED) --release --package millstream-bench
	@cargo run $(LOCKED) --release --quiet --package millstream-bench --bin millstream-bench -- $(BENCH) $(ONLY)

.PHONY: soak
soak: bootstrap ## the scenarios at full size: every fail point three times, fifty random kills [MILLSTREAM_SEED=n]
	@scripts/bootstrap faketime
	@MILLSTREAM_SOAK=1 cargo test $(LOCKED) --package millstream --test scenarios -- --nocapture

.PHONY: fuzz
fuzz: bootstrap ## conversations by chance with the PostgreSQL server [FUZZ_SECONDS=300] [MILLSTREAM_SEED=n]
	@MILLSTREAM_FUZZ_SECONDS=$(or $(FUZZ_SECONDS),300) cargo test $(LOCKED) --package millstream-api --test it -- --nocapture no_bytes

.PHONY: lint
lint: bootstrap ## formatting, clippy, and the house rules
	@cargo fmt --all --check
	@cargo clippy $(LOCKED) --workspace --all-targets --quiet -- --deny warnings
	@cargo test $(LOCKED) --package millstream-testkit --test tidy --quiet

.PHONY: clean
clean: ## remove everything that was built, fetched or written into the checkout
	@cargo clean
	@rm -rf .tools examples/*/data bench/data ui/dist ui/node_modules

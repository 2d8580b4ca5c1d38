# The few commands people type. ARGS are passed on: make test ARGS=vector::

BUILT := $(or $(CARGO_TARGET_DIR),target)

# The Apache Kafka of the tests, of chaos and of what measures.
KAFKA := $(shell cat tests/kafka/version)
export RIVULET_TEST_KAFKA := $(KAFKA)

# How programs for nodes are built: dev is sooner built, release is what belongs on Pis.
PROFILE := release

SEEDS := 20000
FROM := 0

.PHONY: help demo test test-kafka aarch64 aarch64-cross deploy deployable virtual cluster cluster-down cluster-test simulate mistakes chaos soak bench recovery fuzz audit doc lint setup

help: ## prints this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 20

demo: ## runs the whole chain on real readings, without Kafka, for some 40 s
	scripts/setup
	cargo build --locked --bin rivulet
	$(BUILT)/debug/rivulet demo --pipeline config/chain.toml $(ARGS)

test: ## runs every test; those on Apache Kafka start one themselves
	scripts/setup test
	scripts/kafka-jars $(KAFKA)
	cargo build --locked --workspace --bins
	$(if $(ARGS),$(BUILT)/debug/kafka cargo test --locked --workspace --no-fail-fast $(ARGS),scripts/test $(SEEDS))

test-kafka: ## runs the worked example, kills and chaos on another version: KAFKA=3.8.0 with ZooKeeper, 4.1.2, …
	scripts/setup test
	scripts/kafka-jars $(KAFKA)
	cargo build --locked --workspace --bins
	cargo test --locked --package tests --test scenarios $(or $(ARGS),-- --test-threads 1 vector:: kill:: chaos::)

aarch64: ## builds the nodes' programs for 64-bit Pis, with Debian's cross compilers, and checks them
	scripts/setup
	scripts/aarch64 $(PROFILE)

aarch64-cross: ## the same in a container, with Docker and cross
	command -v cross || cargo install --locked cross
	cross build --release --locked --target aarch64-unknown-linux-gnu -p producer -p operators -p sinks --bins

deploy: deployable ## builds for the Pis, and deploys to those of ansible/inventory/pis.yml
	scripts/ansible playbook ansible/site.yml $(ARGS)

chaos: ## lets FAULTS (100) faults befall the chain on three brokers; SEED=… repeats those of an earlier run
	scripts/setup test
	scripts/kafka-jars $(KAFKA)
	cargo build --locked --workspace --bins
	RIVULET_TEST_FAULTS=$(or $(FAULTS),100) RIVULET_TEST_SEED=$(SEED) cargo test --locked --package tests --test scenarios -- chaos:: $(ARGS)

soak: FAULTS := $(or $(FAULTS),1000)
soak: chaos ## the same with 1,000 faults, for half an hour

simulate: ## runs whole pipelines in memory through SEEDS=20000 schedules full of faults, or tells that of SEED=17
	scripts/setup
	cargo build --locked --package simulation --bin simulate
	$(BUILT)/debug/simulate $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --from $(FROM))

mistakes: ## makes deliberate mistakes, one after the other, and has the simulation find them
	scripts/setup
	cargo build --locked --package simulation --bin simulate
	scripts/mistakes $(ARGS)

bench: ## measures the stages beside a byte relay, on Apache Kafka
	scripts/setup test
	scripts/kafka-jars $(KAFKA)
	cargo build --release --locked --workspace --bins
	RIVULET_TEST_JAVA_OPTIONS=-Xmx1g $(BUILT)/release/kafka cargo run --release --locked --package bench -- $(ARGS)

recovery: ## measures how soon a stage with 10,000 sensors is back after kill -9
	scripts/setup test
	scripts/kafka-jars $(KAFKA)
	cargo build --release --locked --workspace --bins
	RIVULET_TEST_JAVA_OPTIONS=-Xmx1g $(BUILT)/release/kafka cargo run --release --locked --package bench --bin recovery -- $(ARGS)

# What is deployed to nodes: their programs, the laptop's, and Kafka, which the virtual ones cannot fetch.
deployable: aarch64
	cargo build --profile $(PROFILE) --locked --bin rivulet

virtual: deployable
	scripts/setup test
	scripts/setup cluster
	scripts/kafka-jars $(shell sed -n 's/^kafka_version: //p' ansible/roles/kafka/defaults/main.yml)

cluster: virtual ## boots four virtual Pis in a network of their own and deploys to them, for who has no real ones
	tests/cluster/nodes up
	tests/cluster/play site.yml $(ARGS)
	@cat tests/cluster/playing

cluster-test: PROFILE = $(if $(filter quick,$(ARGS)),dev,release)
cluster-test: virtual ## tries what must hold of a cluster on virtual Pis: power cuts, upgrades, …; ARGS=quick: some of it
	tests/cluster/test $(ARGS)

cluster-down: ## shuts the virtual Pis down
	tests/cluster/nodes down

fuzz: ## fuzzes every decoder, or TARGET=json, for SECONDS=600 each
	scripts/setup
	scripts/fuzz $(or $(SECONDS),600) $(TARGET)

audit: ## checks the dependencies' licences, duplicates and known holes
	command -v cargo-deny || cargo install --locked cargo-deny
	cargo deny check $(ARGS)

doc: ## builds the documentation of the code
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps $(ARGS)

lint: ## checks format and lints
	cargo fmt --all --check
# rustfmt does not follow the modules that the catalogs name in a macro.
	rustfmt --check */src/catalog/*.rs
	cargo clippy --locked --workspace --all-targets -- -D warnings
# The fuzz targets are a workspace of their own.
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --locked --manifest-path fuzz/Cargo.toml --target-dir $(BUILT) --bins -- -D warnings
	scripts/ansible lint

setup: ## installs what building and testing need
	scripts/setup test
	scripts/kafka-jars $(KAFKA)

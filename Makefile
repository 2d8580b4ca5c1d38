# The few commands that people type. ARGS are passed on: make test ARGS=vector::

BUILT := $(or $(CARGO_TARGET_DIR),target)

# The version of Apache Kafka for tests, chaos and benchmarks.
KAFKA := $(shell cat tests/kafka/version)
export RIVULET_TEST_KAFKA := $(KAFKA)

# The profile of the nodes' programs: dev builds faster, release is for Pis.
PROFILE ?= release

# What builds the nodes' programs: debian, zig or cross. scripts/aarch64 says how they differ, and
# chooses.
BUILD ?=

# What is measured. The laptop's program is not, and takes long to build.
MEASURED := $(addprefix --package rivulet-,operators sinks relays bench)

SEEDS := 20000
FROM := 0

.PHONY: help demo test test-kafka test-alerts aarch64 aarch64-cross deploy deployable virtual cluster
.PHONY: cluster-down cluster-test simulate mistakes chaos soak bench bench-quick fuzz audit doc lint
.PHONY: setup web-test pictures viewers lessons catalog same-bytes bundled instructions dashboard
.PHONY: lint-code lint-others

help: ## prints this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 20

demo: ## runs the whole chain on real readings in some 40 s, without Kafka
	scripts/setup
	cargo build --locked --bin rivulet
	$(BUILT)/debug/rivulet demo --pipeline config/chain.toml $(ARGS)

test: ## runs every test; starts and stops an Apache Kafka for those that need it
	scripts/setup test
	scripts/setup browser
	scripts/kafka-jars $(KAFKA)
	scripts/registry-jars
	cargo build --locked --workspace --bins
	scripts/example build
	$(if $(ARGS),$(BUILT)/debug/kafka cargo test --locked --workspace --no-fail-fast $(ARGS),scripts/test $(SEEDS))

web-test: ## tests the pages in a real browser
	scripts/setup test
	scripts/setup browser
	scripts/kafka-jars $(KAFKA)
	cargo build --locked --workspace --bins
	$(BUILT)/debug/kafka cargo test --locked --package rivulet-tests --test scenarios -- web:: pages:: $(ARGS)

test-kafka: ## runs the main scenarios on another version: KAFKA=3.8.0 (with ZooKeeper), 4.1.2, …
	scripts/setup test
	scripts/kafka-jars $(KAFKA)
	cargo build --locked --workspace --bins
	cargo test --locked --package rivulet-tests --test scenarios $(or $(ARGS),-- --test-threads 1 vector:: kill:: chaos::)

test-alerts: ## brings each alert about once, on a Kafka with a Prometheus: 15 minutes
	scripts/setup test
	scripts/kafka-jars $(KAFKA)
	cargo build --locked --workspace --bins
	$(BUILT)/debug/kafka cargo test --locked --package rivulet-tests --test scenarios alerts:: -- --ignored --nocapture

aarch64: ## builds and checks the nodes' programs for 64-bit Pis; BUILD=zig, cross or debian
	scripts/setup
	scripts/aarch64 $(PROFILE) $(BUILD)

aarch64-cross: BUILD = cross
aarch64-cross: aarch64 ## the same in a container, with Docker and cross

same-bytes: ## checks that two checkouts build the same programs for nodes, byte for byte
	scripts/same-bytes $(PROFILE) $(BUILD)

deploy: deployable ## builds for the Pis of ansible/inventory/pis.yml and deploys to them
	scripts/ansible playbook ansible/site.yml $(ARGS)

chaos: ## injects FAULTS=100 faults into the chain on three brokers; SEED=… repeats a run
	scripts/setup test
	scripts/kafka-jars $(KAFKA)
	cargo build --locked --workspace --bins
	RIVULET_TEST_FAULTS=$(or $(FAULTS),100) RIVULET_TEST_SEED=$(SEED) cargo test --locked --package rivulet-tests --test scenarios -- chaos:: $(ARGS)

soak: FAULTS := $(or $(FAULTS),1000)
soak: chaos ## the same with 1,000 faults, in half an hour

lessons: ## types what each page of docs/lessons says, and compares what it says one sees
	scripts/setup lessons
	scripts/kafka-jars $(KAFKA)
	scripts/registry-jars
	cargo build --locked --workspace --bins
	$(BUILT)/debug/lessons $(or $(ARGS),$(wildcard docs/lessons/[0-9]*.md))

simulate: ## runs pipelines in memory through SEEDS=20000 schedules of faults; SEED=17 prints one
	scripts/setup
	cargo build --locked --package rivulet-simulation --bin simulate
	$(BUILT)/debug/simulate $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --from $(FROM))

mistakes: ## checks that the simulation finds each deliberate mistake
	scripts/setup
	cargo build --locked --package rivulet-simulation --bin simulate
	scripts/mistakes $(ARGS)

bench: ## measures stages beside other engines on Apache Kafka, in 40 minutes; ARGS="--only flow"
	scripts/setup bench
	scripts/kafka-jars $(KAFKA)
	scripts/contenders
	cargo build --release --locked $(MEASURED) --bins
	RIVULET_TEST_JAVA_OPTIONS=-Xmx1g $(BUILT)/release/bench $(ARGS)

bench-quick: ## the same in four minutes: whether something is much slower than it was
	scripts/setup bench
	scripts/kafka-jars $(KAFKA)
	scripts/contenders franz-go
	cargo build --release --locked $(MEASURED) --bins
	RIVULET_TEST_JAVA_OPTIONS=-Xmx1g $(BUILT)/release/bench --quick $(ARGS)

instructions: ## counts the instructions of a record in memory, and compares; ARGS=--write
	scripts/setup instructions
	cargo build --release --locked --package rivulet-instructions
	scripts/instructions $(ARGS)

viewers: ## measures the page: 1,000 sensors, 10,000 readings a second, 50 viewers, 5 minutes
	scripts/setup test
	scripts/kafka-jars $(KAFKA)
	cargo build --release --locked --workspace --bins
	RIVULET_TEST_JAVA_OPTIONS=-Xmx1g cargo run --release --locked --package rivulet-bench --bin viewers -- $(ARGS)

# What a deployment needs: the nodes' programs and the laptop's.
deployable: aarch64
	cargo build --profile $(PROFILE) --locked --bin rivulet

# The nodes' base tree is made while the programs compile. If that fails, `nodes up` tries again and
# says why. Virtual nodes cannot download Kafka, so it is fetched for them.
virtual:
	scripts/setup test
	scripts/setup cluster
	scripts/setup aarch64
	tests/cluster/nodes base & $(MAKE) PROFILE=$(PROFILE) deployable; built=$$?; wait; exit $$built
	scripts/kafka-jars $(shell sed -n 's/^kafka_version: //p' ansible/roles/kafka/defaults/main.yml)

cluster: virtual ## boots four virtual Pis in a network of their own and deploys to them
	tests/cluster/nodes up
	tests/cluster/play site.yml $(ARGS)
	@cat tests/cluster/playing

cluster-test: PROFILE = $(if $(filter quick,$(ARGS)),dev,release)
cluster-test: virtual ## tests a cluster of virtual Pis: power cuts, upgrades, …; ARGS=quick: a part
	$(if $(filter quick,$(ARGS)),,cargo build --profile $(PROFILE) --locked --package rivulet-tests --bin screen)
	PROFILE=$(PROFILE) tests/cluster/test $(ARGS)

cluster-down: ## shuts the virtual Pis down
	tests/cluster/nodes down

fuzz: ## fuzzes every decoder, or TARGET=json, for SECONDS=600 each
	scripts/setup
	scripts/fuzz $(or $(SECONDS),600) $(TARGET)

audit: ## checks all dependencies: licences, origin, known vulnerabilities; ADVISORIES=must
	scripts/audit $(ADVISORIES)

bundled: ## writes docs/bundled.md, which lists the C libraries in the programs
	scripts/bundled > docs/bundled.md

doc: ## builds the documentation of the code
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps $(ARGS)

catalog: ## writes docs/catalog.md, which lists what a pipeline file can name
	cargo run --quiet --locked --bin rivulet -- catalog > docs/catalog.md

pictures: ## takes the pictures in docs/pictures from a run of the chain, in a minute
	scripts/setup test
	scripts/setup browser
	scripts/kafka-jars $(KAFKA)
	cargo build --locked --workspace --bins
	$(BUILT)/debug/pictures config/chain.toml docs/pictures

dashboard: ## writes monitoring/dashboard.json, the dashboard for Grafana
	scripts/dashboard > monitoring/dashboard.json

lint: ## checks format and lints
# The playbooks and scripts take a processor that the compiler leaves alone.
	+$(MAKE) --jobs=2 --output-sync=recurse lint-code lint-others

lint-code:
	cargo fmt --all --check
# rustfmt does not follow the modules that the catalogs name in a macro.
	rustfmt --check */src/catalog/*.rs
	cargo clippy --locked --workspace --all-targets -- -D warnings
# The fuzz targets are in a workspace of their own.
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --locked --manifest-path fuzz/Cargo.toml --target-dir $(BUILT) --bins --all-features -- -D warnings
	cargo fmt --manifest-path examples/own-operator/Cargo.toml --check
	scripts/example clippy --all-targets -- -D warnings

lint-others:
	scripts/shellcheck
# A patch that no longer applies shows nothing.
	for patch in simulation/mistakes/*.patch; do git apply --check "$$patch" || exit 1; done
	scripts/prometheus test
	scripts/ansible lint

setup: ## installs what building and testing need
	scripts/setup test
	scripts/setup browser
	scripts/kafka-jars $(KAFKA)

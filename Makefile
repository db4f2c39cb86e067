GO          ?= go
FUZZTIME    ?= 60s
FLEETTIME   ?= 5m
KILLS       ?= 1000
PART        ?= 1/1
SIMSEEDS    ?= 100000
COVER_FLOOR ?= 85
TESTFLAGS   ?=

# A module of its own: the tests that need the server of etcd.
ETCDTEST = pkg/store/etcd/etcdtest

# Another one: the tests that need a browser.
BROWSERTEST = cmd/jwksctl/browsertest

PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

# The binary is static, so the tests run what ships. Only the race detector
# needs cgo.
export CGO_ENABLED = 0

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build and serve on http://127.0.0.1:8080
	.build/jwksctl serve

.PHONY: build
build: ## build .build/jwksctl
	$(GO) build -trimpath -ldflags='-s -w' -o .build/jwksctl ./cmd/jwksctl

# Many tests wait for servers more than they compute. Therefore four packages are tested at
# once, and two of the modules side by side.
.PHONY: test test-root test-etcd test-browser
test: ## run every test
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-root test-etcd test-browser
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v initdb >/dev/null \
		|| echo 'PostgreSQL is not installed: its tests did not run. On Debian: apt-get install postgresql'
	@command -v chromium >/dev/null \
		|| echo 'Chromium is not installed: its tests did not run. On Debian: apt-get install chromium'

test-root:
	$(GO) test -p 4 $(TESTFLAGS) ./...

test-etcd:
	$(GO) -C $(ETCDTEST) test $(TESTFLAGS) ./...

test-browser:
	$(GO) -C $(BROWSERTEST) test $(TESTFLAGS) ./...

.PHONY: race
race: ## run every test under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race $(TESTFLAGS) ./...
	CGO_ENABLED=1 $(GO) -C $(ETCDTEST) test -race $(TESTFLAGS) .

.PHONY: cover
cover: ## run every test and hold the coverage of pkg/ above the floor
	@mkdir -p .build
	$(GO) test -p 4 $(TESTFLAGS) -coverpkg=./pkg/... -coverprofile=.build/cover.out ./...
	$(GO) -C $(ETCDTEST) test $(TESTFLAGS) -coverpkg=github.com/jwksctl/jwksctl/pkg/store/etcd \
		-coverprofile=$(CURDIR)/.build/cover-etcd.out .
	@tail -n +2 .build/cover-etcd.out >>.build/cover.out
	@$(GO) tool cover -func=.build/cover.out | awk -v floor=$(COVER_FLOOR) ' \
		/^total:/ { total = $$NF + 0 } \
		END { printf "coverage of pkg/: %.1f%%, must be above %s%%\n", total, floor; exit !(total > floor) }'

.PHONY: fuzz
fuzz: ## fuzz each target for FUZZTIME (60s)
	@grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' cmd pkg | while IFS=: read -r file func; do \
		echo "==> $$file $${func#func }"; \
		$(GO) test -run='^$$' -fuzz="^$${func#func }\$$" -fuzztime=$(FUZZTIME) "./$${file%/*}" </dev/null || exit 1; \
	done

.PHONY: simulate
simulate: ## simulate SIMSEEDS (100000) worlds of processes, clocks, stores and caches
	$(GO) test -count=1 -v -run=TestSimulation -timeout=4h ./pkg/keys/simulation -sim.seeds=$(SIMSEEDS)

.PHONY: proof
proof: ## 5,000 simulated worlds and the whole exhaustive search
	$(GO) test -count=1 -v -run='TestSimulation|TestSearch' -timeout=30m ./pkg/keys/simulation -sim.seeds=5000 -search.whole

.PHONY: mutants
mutants: ## weaken every guard and term in turn, or those of PART (K/N); the simulation, the search or a named test must notice
	$(GO) test -count=1 -v -run=TestMutations -timeout=1h ./pkg/keys/simulation -mutants=$(PART)

.PHONY: fleet
fleet: ## three real servers on each engine, or on ENGINE; each fault once, then all together for FLEETTIME (5m)
	CI=true $(GO) test -tags=soak -count=1 -v -parallel=8 -timeout=2h ./cmd/jwksctl/fleet -run='^Test(Checker|Judge|Fleet)/^$(ENGINE)' -fleet.together=$(FLEETTIME)

.PHONY: fleet-short
fleet-short: ## the most telling faults of each engine
	CI=true $(GO) test -tags=soak -count=1 -v -parallel=8 -timeout=10m ./cmd/jwksctl/fleet -short -run='^Test(Checker|Judge|Fleet)'

.PHONY: scale
scale: ## 1, 3, 10 and 30 replicas on one PostgreSQL: statements a second, and how soon a change arrives
	CI=true $(GO) test -tags=soak -count=1 -v -timeout=1h ./cmd/jwksctl/fleet -run='^TestScale'

.PHONY: kills
kills: ## kill servers and commands KILLS (1000) times while they change one store
	$(GO) test -tags=soak -count=1 -v -run=TestKills -timeout=2h ./cmd/jwksctl -kills=$(KILLS)

.PHONY: fips
fips: ## build .build/jwksctl-fips with the certified cryptographic module of Go, and run its story
	GOFIPS140=certified $(GO) build -trimpath -ldflags='-s -w' -o .build/jwksctl-fips ./cmd/jwksctl
	GOFIPS140=certified $(GO) test -count=1 -run='TestScript/fips' ./cmd/jwksctl

.PHONY: interop
interop: ## libraries that are not ours get tokens and judge them, and we theirs; installs them, on Debian
	.ci/interop/run

.PHONY: bench
bench: build ## measure the binary against bare counterparts (Linux); BENCH=jwks for a part, BASELINE=PATH for an older binary beside it
	$(GO) test -tags=bench -c -o .build/bench.test ./cmd/jwksctl
	.build/bench.test -test.run='^TestBench$$/$(BENCH)' -test.timeout=15m -bench.binary=.build/jwksctl -bench.baseline=$(BASELINE) $(BENCHFLAGS)

.PHONY: vet
vet: ## go vet, on each system that we build for
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./...
	$(GO) -C $(ETCDTEST) vet ./...
	$(GO) -C $(BROWSERTEST) vet ./...
	$(GO) -C .ci/interop vet .

.PHONY: lint
lint: ## golangci-lint, at the version that .ci/lint/go.mod names
	$(GO) tool -modfile=.ci/lint/go.mod golangci-lint run
	@! grep -rl --include='*_test.go' 'time\.Sleep(' cmd pkg | xargs -r grep -L '"testing/synctest"' | grep . \
		|| { echo 'tests above sleep outside of a synctest bubble' >&2; exit 1; }

.PHONY: fmt
fmt: ## format the code
	$(GO) tool -modfile=.ci/lint/go.mod golangci-lint fmt

.PHONY: tidy
tidy: ## check that go.mod and go.sum are tidy
	$(GO) mod tidy -diff
	$(GO) mod verify
	$(GO) -C $(ETCDTEST) mod tidy -diff
	$(GO) -C $(BROWSERTEST) mod tidy -diff
	$(GO) -C .ci/interop mod tidy -diff

.PHONY: vuln
vuln: ## look for known vulnerabilities in what we call
	$(GO) tool -modfile=.ci/vuln/go.mod govulncheck ./...

# Without -trimpath, so that this shares what the tests and go vet compiled.
.PHONY: cross $(PLATFORMS)
cross: $(PLATFORMS) ## build for linux, darwin and windows on amd64 and arm64
$(PLATFORMS):
	GOOS=$(@D) GOARCH=$(@F) $(GO) build -o .build/$@/ ./cmd/jwksctl

.PHONY: ci
ci: ## everything that must hold before a change lands
	.ci/run

.PHONY: clean
clean: ## delete what was built
	rm -rf .build

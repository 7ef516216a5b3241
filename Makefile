# "make help" lists each target whose line has a comment that starts with ##.

.PHONY: help run test race check vulnerable fmt openapi browser clients sam sam-test boot template rehearse deploy output key smoke logs teardown bench demo-events bench-cold bench-load prove release binaries

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# $(call need,TOOL,REMEDY) stops with a message when a tool is missing.
need = command -v $(1) >/dev/null || { echo "$(1) is missing: install $(2), then try again." >&2; exit 1; }
go   = $(call need,go,Go 1.26 or newer from https://go.dev/dl)
npm  = $(call need,npm,Node.js 20 or newer from https://nodejs.org)

run: ## Run the API on http://127.0.0.1:3000 (ARGS="...": arguments of leads serve)
	@$(go)
	@$(npm)
	@mkdir -p -m 700 .leads
	go build -o .leads/leads ./cmd/leads
	@exec .leads/leads serve $(ARGS)

# The two packages that take longest come first, so that the others run beside them.
test: ## Run all tests that need no Docker
	@$(go)
	@$(npm)
	go test ./test/faults ./pkg/dynamo ./...

# A million leads take some minutes. LEADS=1000,10000 takes less.
LEADS = 1000,10000,100000,1000000

bench: ## Measure the cost of each operation with up to a million leads
	@$(go)
	@$(npm)
	go test -run '^$$' -bench Leads -benchtime 1x -timeout 1h ./pkg/dynamo -leads $(LEADS)

# EFFORT multiplies the number of random cases. The default takes a few minutes.
EFFORT = 3
prove: ## Run all fault tests and print the results (EFFORT=100 runs more cases)
	@$(go)
	@$(npm)
	@go -C test/faults test -count=1 -timeout 24h -effort $(EFFORT) $(ARGS)

# The packages with goroutines of their own. Of pkg/dynamo, the tests with concurrency:
# all would take half an hour.
race: ## Run the tests of packages with concurrency with the race detector (needs a C compiler)
	@$(go)
	@$(npm)
	go test -race -timeout 30m ./pkg/api ./pkg/apikey ./pkg/counter ./pkg/ingest ./pkg/lead ./pkg/localdb
	go test -race -timeout 30m -run 'Concurren|CreateMany|ClocksDo' ./pkg/dynamo

check: ## Run gofmt, go vet, staticcheck, go mod tidy and actionlint without changing files
	@$(go)
	@files=$$(gofmt -l .); test -z "$$files" || { echo "make fmt would change:" $$files >&2; exit 1; }
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	go mod tidy -diff
	go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
	go -C tools/bench/load vet ./...
	go -C tools/bench/load run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	go -C tools/bench/load mod tidy -diff

vulnerable: ## Look for known vulnerabilities (needs access to vuln.go.dev)
	@$(go)
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

fmt: ## Format the code
	@$(go)
	gofmt -w .

python = $(call need,python3,Python 3 with its module venv)

sam: ## Run the functions with sam local on http://127.0.0.1:3000 (needs Docker)
	@$(go)
	@mkdir -p -m 700 .leads
	@go run ./tools/sam $(ARGS)

sam-test: ## Run the contract scripts against sam local (needs Docker)
	@$(go)
	go run ./tools/sam -addr 127.0.0.1:3999 go -C test/contract test -count=1 -run 'TestScripts$$'

boot: ## Build each function as for AWS and start it (needs qemu-user-static, except on arm64)
	@$(go)
	@$(python)
	SAM_CLI_TELEMETRY=0 tools/pytool sam sam build
	LEADS_BUILD=$(CURDIR)/.aws-sam/build go test -count=1 -v -run TestEveryFunctionAnswers ./test/lambdaruntime

rehearse: ## Deploy, use, update and delete the stack on an emulator of AWS
	@$(go)
	@$(python)
	@go run ./tools/rehearse

# The SAM CLI of the user, or else the one that tools/pytool installs.
samcli = $(shell command -v sam || echo tools/pytool sam sam)
STAGE ?= dev
SHIFT ?= Canary10Percent5Minutes
RELEASE ?= $(shell git describe --always --dirty 2>/dev/null || echo none)
stage = grep -q '^\[$(STAGE)\.deploy\.' samconfig.toml || { echo "samconfig.toml has no stage \"$(STAGE)\": give STAGE=dev or STAGE=prod." >&2; exit 2; }

# The parameters of the stage in samconfig.toml, which --parameter-overrides
# would replace.
overrides = $$(sed -n '/^\[$(STAGE)\.deploy\./,/^$$/s/^parameter_overrides = .\(.*\).$$/\1/p' samconfig.toml)

# $(call output,NAME) is an output of the stack.
output = $$($(samcli) list stack-outputs --stack-name leads-$(STAGE) --output json | sed -n '/"OutputKey": "$(1)"/,/}/s/.*"OutputValue": "\(.*\)".*/\1/p')

deploy: ## Build and deploy to AWS with your credentials (STAGE=dev or prod, SHIFT=AllAtOnce: without canary)
	@$(go)
	@$(stage)
	$(samcli) build
	@$(samcli) deploy --config-env $(STAGE) --parameter-overrides $(overrides) Shift=$(SHIFT) Release=$(RELEASE)
	@go run ./tools/stackpolicy leads-$(STAGE)

output: ## Print an output of a stage (STAGE=dev or prod, NAME=Url)
	@$(stage)
	@echo "$(call output,$(NAME))"

key: ## Create an API key (STAGE=dev or prod, ACCOUNT=name, MODE=test or live)
	@$(go)
	@$(stage)
	@test -n "$(ACCOUNT)" || { echo "Give the name of an account: make key STAGE=$(STAGE) ACCOUNT=acme" >&2; exit 2; }
	@LEADS_TABLE="$(call output,TableName)" go run ./cmd/leads keys create -data /nonexistent -account "$(ACCOUNT)" -mode "$(or $(MODE),test)" $(ARGS)

# With KEY the scripts that need other keys do not run, which is an error without SOME=1.
smoke: ## Run the contract scripts on a stage (STAGE=dev or prod), or with URL=https://... KEY=sk_test_... SOME=1
	@$(go)
	@if test -n "$(KEY)"; then test -n "$(URL)" || { echo "Give the URL too: make smoke URL=https://... KEY=sk_test_..." >&2; exit 2; }; \
		export LEADS_URL="$(URL)" LEADS_KEY="$(KEY)" LEADS_SOME="$(SOME)"; \
	else $(stage); export LEADS_URL="$(or $(URL),$(call output,Url))" LEADS_TABLE="$(call output,TableName)"; fi; \
	go -C test/contract test -count=1 -run 'TestScripts$$'

logs: ## Follow the logs of the functions (STAGE=dev or prod)
	@$(go)
	$(samcli) logs --cw-log-group /aws/lambda/leads-$(STAGE) --tail

teardown: ## Ask, then delete a stage from AWS (STAGE=dev or prod)
	@$(go)
	@STAGE=$(STAGE) SAM="$(samcli)" sh tools/teardown.sh

demo-events: ## Send one event of each kind through an emulator of AWS and show what results
	@$(go)
	@$(python)
	@go run ./tools/rehearse -events

template: ## Check template.yaml and examples: sam validate, cfn-lint, checkov
	@$(go)
	@$(python)
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=eu-west-1 tools/pytool sam sam validate --lint
	tools/pytool sam cfn-lint template.yaml examples/*.yaml
	@mkdir -p .aws-sam
	for stage in dev prod; do \
		tools/pytool sam python tools/template/transform.py $$stage >.aws-sam/$$stage.json && \
		tools/pytool checkov checkov --config-file .checkov.yaml --file .aws-sam/$$stage.json || exit 1; \
	done

openapi: ## Lint openapi.yaml and test the API against it (ARGS="--seed 2": other requests)
	@$(go)
	@$(npm)
	@$(python)
	npm ci --prefix tools --silent
	npm run --prefix tools --silent lint
	tools/schemathesis --max-examples 20 --seed 1 $(ARGS)

browser: ## Test the page /docs in Chromium (CHROMIUM=/path/to/chromium)
	@$(go)
	@$(npm)
	npm ci --prefix test/browser --silent
	tools/with-server npm test --prefix test/browser --silent

clients: ## Generate clients from openapi.json with six generators, and test each of them
	@$(go)
	@$(npm)
	@$(python)
	@$(call need,java,a JDK from version 17)
	@$(call need,mvn,Maven)
	@tools/with-server test/clients/run

bench-cold: ## Measure cold starts of the functions (as root, to limit their CPU time)
	@$(go)
	@$(npm)
	go run ./tools/bench/cold $(ARGS)

bench-load: ## Measure leads serve under steady load, compared with a minimal server
	@$(go)
	@$(npm)
	go -C tools/bench/load run . $(ARGS)

release: ## Build leads for five platforms and the stack, with checksums, into dist/
	@$(go)
	@$(python)
	@SAM="$(samcli)" sh tools/release.sh

# "sam build" calls build-NAME for each function in template.yaml. The function
# NewThing is the command in functions/new-thing; both names work here.
#
# One rule builds from the root of the repository. With one folder per function
# "sam build --cached" would not notice changes in pkg/.
#
# SAM does not pass the processor, but writes it to build.toml, next to the
# folder that contains ARTIFACTS_DIR.
functions = functions
# Without inlining, the packages of the SDK are half a megabyte smaller. They spend
# their time waiting for the network.
gobuild = CGO_ENABLED=0 GOOS=linux go build -gcflags=github.com/aws/...=-l -tags lambda.norpc,nethttpomithttp2 -trimpath -buildvcs=false -ldflags "-s -w"
build-%:
	@test -n "$(ARTIFACTS_DIR)" || { echo "Run \"sam build\". It calls this rule with ARTIFACTS_DIR, the folder for the result." >&2; exit 2; }
	arch=arm64; if grep -q 'architecture = "x86_64"' "$(ARTIFACTS_DIR)/../../build.toml"; then arch=amd64; fi; \
	folder=$$(echo $* | sed 's/\([a-z]\)\([A-Z]\)/\1-\2/g' | tr '[:upper:]' '[:lower:]'); \
	GOARCH=$$arch $(gobuild) -o "$(ARTIFACTS_DIR)/bootstrap" "./$(functions)/$$folder"
	cp pkg/awsenv/amazon-roots.pem "$(ARTIFACTS_DIR)/"

# Tests build all functions at once: make binaries GOARCH=arm64 OUT=folder
binaries:
	@mkdir -p "$(OUT)"
	GOARCH=$(GOARCH) $(gobuild) -o "$(OUT)/" ./functions/...

# What a person can ask for has a comment of its own on its line: make help
# prints it.

.PHONY: help run test check vulnerable fmt openapi sam sam-test boot template rehearse deploy smoke logs teardown bench demo-events bench-cold bench-load cost prove binaries

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# $(call need,TOOL,REMEDY) ends with a sentence where a tool is missing.
need = command -v $(1) >/dev/null || { echo "$(1) is missing: install $(2), then try again." >&2; exit 1; }
go   = $(call need,go,Go 1.26 or newer from https://go.dev/dl)
npm  = $(call need,npm,Node.js 20 or newer from https://nodejs.org)

run: ## Run the API on http://127.0.0.1:3000 (ARGS="..." goes to leads serve)
	@$(go)
	@$(npm)
	@mkdir -p -m 700 .leads
	go build -o .leads/leads ./cmd/leads
	@exec .leads/leads serve $(ARGS)

# The two packages that take longest come first, so that the others run beside them.
test: ## Run every test that needs no Docker, and fetch what they need
	@$(go)
	@$(npm)
	go test ./test/faults ./pkg/dynamo ./...

# A million leads take some minutes; LEADS=1000,10000 makes fewer.
LEADS = 1000,10000,100000,1000000

bench: ## Measure each operation with up to a million leads, and compute ten million
	@$(go)
	@$(npm)
	go test -run '^$$' -bench Leads -benchtime 1x -timeout 1h ./pkg/dynamo -leads $(LEADS)

# EFFORT multiplies the number of random cases. The default takes a few minutes.
EFFORT = 3
prove: ## Run all fault tests and print the results (EFFORT=100 runs more cases)
	@$(go)
	@$(npm)
	@go -C test/faults test -count=1 -timeout 24h -effort $(EFFORT) $(ARGS)

check: ## Look for what gofmt, go vet, staticcheck and go mod tidy would change
	@$(go)
	@files=$$(gofmt -l .); test -z "$$files" || { echo "make fmt would change:" $$files >&2; exit 1; }
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	go mod tidy -diff
	go -C tools/bench/load vet ./...
	go -C tools/bench/load run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	go -C tools/bench/load mod tidy -diff

vulnerable: ## Look for known vulnerabilities (needs to reach vuln.go.dev)
	@$(go)
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

fmt: ## Format the code
	@$(go)
	gofmt -w .

python = $(call need,python3,Python 3 with its module venv)

sam: ## Run the API on http://127.0.0.1:3000 as AWS would, with sam local (needs Docker)
	@$(go)
	@mkdir -p -m 700 .leads
	@go run ./tools/sam $(ARGS)

sam-test: ## Run the contract's scripts through sam local (needs Docker)
	@$(go)
	go run ./tools/sam -addr 127.0.0.1:3999 go -C test/contract test -count=1 -run 'TestScripts$$'

boot: ## Boot each function as it is deployed (needs qemu-user-static, but on arm64)
	@$(go)
	@$(python)
	SAM_CLI_TELEMETRY=0 go run ./tools/pytool sam sam build
	LEADS_BUILD=$(CURDIR)/.aws-sam/build go test -count=1 -v -run TestEveryFunctionAnswers ./test/lambdaruntime

rehearse: ## Deploy, use, update and delete the whole stack on an emulator of AWS
	@$(go)
	@$(python)
	@go run ./tools/rehearse

# The user's own SAM CLI, or the one that the other targets fetch.
samcli = $(shell command -v sam || echo go run ./tools/pytool sam sam)
STAGE ?= dev

deploy: ## Build and deploy a stage to AWS with your credentials (STAGE=dev or prod)
	@$(go)
	@grep -q '^\[$(STAGE)\.deploy\.' samconfig.toml || { echo "samconfig.toml has no stage \"$(STAGE)\": give STAGE=dev or STAGE=prod." >&2; exit 2; }
	$(samcli) build
	$(samcli) deploy --config-env $(STAGE)

smoke: ## Run the contract's scripts against an address (URL=https://... KEY=sk_test_...)
	@$(go)
	@test -n "$(URL)" && test -n "$(KEY)" || { echo "Say where and with which key: make smoke URL=https://... KEY=sk_test_..." >&2; exit 2; }
	@LEADS_URL="$(URL)" LEADS_KEY="$(KEY)" go -C test/contract test -count=1 -run 'TestScripts$$'

logs: ## Follow what the functions of a stage log (STAGE=dev or prod)
	@$(go)
	$(samcli) logs --cw-log-group /aws/lambda/leads-$(STAGE) --tail

teardown: ## Delete a stage from AWS, after asking (STAGE=dev or prod)
	@$(go)
	@STAGE=$(STAGE) SAM="$(samcli)" sh tools/teardown.sh

demo-events: ## Send each kind of event through the stack and show what comes out (ARGS=-here: without)
	@$(go)
	@$(npm)
	@go run ./tools/demo-events $(ARGS)

template: ## Check template.yaml and examples: sam validate, cfn-lint, checkov
	@$(go)
	@$(python)
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=eu-west-1 go run ./tools/pytool sam sam validate --lint
	go run ./tools/pytool sam cfn-lint template.yaml examples/*.yaml
	@mkdir -p .aws-sam
	go run ./tools/pytool sam python tools/template/transform.py >.aws-sam/transformed.json
	go run ./tools/pytool checkov checkov --config-file .checkov.yaml --file .aws-sam/transformed.json

openapi: ## Check openapi.yaml: its form, and the API against it (ARGS="--seed 2" for other requests)
	@$(go)
	@$(npm)
	@$(python)
	npm ci --prefix tools --silent
	npm run --prefix tools --silent lint
	tools/schemathesis --max-examples 20 --seed 1 $(ARGS)

bench-cold: ## Measure how the functions start (as root: with their share of a processor)
	@$(go)
	@$(npm)
	go run ./tools/bench/cold $(ARGS)

bench-load: ## Put leads serve under a steady load, beside the least that could answer it
	@$(go)
	@$(npm)
	go -C tools/bench/load run . $(ARGS)

cost: ## Compute what a million of each operation costs on AWS
	@$(go)
	@go run ./tools/bench/cost

# sam build calls build-NAME for each function of template.yaml; the function
# NewThing is the command in functions/new-thing, a name that does as well. One
# rule over the whole folder, because with a folder per function "sam build
# --cached" would not see that pkg/ has changed.
#
# SAM does not say for which processor it builds, but writes it down first, in
# build.toml beside the folder that ends in ARTIFACTS_DIR.
functions = functions
gobuild = CGO_ENABLED=0 GOOS=linux go build -tags lambda.norpc,nethttpomithttp2 -trimpath -buildvcs=false -ldflags "-s -w"
build-%:
	@test -n "$(ARTIFACTS_DIR)" || { echo "Run \"sam build\": it calls this rule and says where the result goes." >&2; exit 2; }
	arch=arm64; if grep -q 'architecture = "x86_64"' "$(ARTIFACTS_DIR)/../../build.toml"; then arch=amd64; fi; \
	folder=$$(echo $* | sed 's/\([a-z]\)\([A-Z]\)/\1-\2/g' | tr '[:upper:]' '[:lower:]'); \
	GOARCH=$$arch $(gobuild) -o "$(ARTIFACTS_DIR)/bootstrap" "./$(functions)/$$folder"
	cp pkg/awsenv/amazon-roots.pem "$(ARTIFACTS_DIR)/"

# Tests build every function at once: make binaries GOARCH=arm64 OUT=folder
binaries:
	@mkdir -p "$(OUT)"
	GOARCH=$(GOARCH) $(gobuild) -o "$(OUT)/" ./functions/...

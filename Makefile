# sam build calls build-NAME for each function of template.yaml; the function
# NewThing is the command in functions/new-thing. One rule over the whole
# folder, because with a folder per function "sam build --cached" would not see
# that pkg/ has changed.
#
# SAM does not say for which processor it builds, but writes it down first, in
# build.toml beside the folder that ends in ARTIFACTS_DIR.
build-%:
	@test -n "$(ARTIFACTS_DIR)" || { echo "Run \"sam build\": it calls this rule and says where the result goes." >&2; exit 2; }
	arch=arm64; if grep -q 'architecture = "x86_64"' "$(ARTIFACTS_DIR)/../../build.toml"; then arch=amd64; fi; \
	folder=$$(echo $* | sed 's/\([a-z]\)\([A-Z]\)/\1-\2/g' | tr '[:upper:]' '[:lower:]'); \
	CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -tags lambda.norpc -trimpath -buildvcs=false \
		-ldflags "-s -w" -o "$(ARTIFACTS_DIR)/bootstrap" "./functions/$$folder"

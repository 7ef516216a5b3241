#!/bin/sh
# Builds what a release consists of, into dist/: leads for five platforms, each
# with a list of its modules (SBOM, CycloneDX), the built stack, and checksums.
# SAM is the command of the SAM CLI. Run it with make release.
set -eu
cd "$(dirname "$0")/.."

version=$(git describe --tags --always --dirty)
rm -rf dist
mkdir dist

for platform in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64; do
	os=${platform%/*} arch=${platform#*/} suffix=
	[ "$os" = windows ] && suffix=.exe
	program=dist/leads-$os-$arch$suffix
	echo "Building $program"
	CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=true -ldflags "-s -w" -o "$program" ./cmd/leads
	go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 bin -json -version "$version" -output "$program.cdx.json" "$program"
done

# The built stack is deployed without Go: sam deploy --guided --template template.yaml
echo "Building dist/leads-stack.tar.gz"
$SAM build
tar -czf dist/leads-stack.tar.gz -C .aws-sam/build .

cd dist
sha256sum -- * >SHA256SUMS

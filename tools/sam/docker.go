package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// docker is the running Docker.
type docker struct {
	host  string // address at which the engine listens for containers
	alias string // name that containers have for it, "" for the address itself
}

func findDocker(ctx context.Context) (*docker, error) {
	if _, err := exec.LookPath("docker"); err != nil {
		return nil, errors.New("install Docker, which runs the functions' containers; \"make run\" does without")
	}
	if _, err := dockerCommand(ctx, "info"); err != nil {
		return nil, errors.New("start Docker, it does not answer (\"docker info\" says why); \"make run\" does without")
	}
	// On Linux this machine has an address in the containers' network. Where
	// Docker has a machine of its own, that one forwards a name to our loopback.
	subnet, err := dockerCommand(ctx, "network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Subnet}}")
	if err == nil {
		if host := ownAddress(subnet); host != "" {
			return &docker{host: host}, nil
		}
	}
	return &docker{host: "127.0.0.1", alias: "host.docker.internal"}, nil
}

// ownAddress returns this machine's address in a subnet, or "".
func ownAddress(subnet string) string {
	prefix, err := netip.ParsePrefix(subnet)
	if err != nil {
		return ""
	}
	ours, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range ours {
		if own, err := netip.ParsePrefix(a.String()); err == nil && prefix.Contains(own.Addr()) {
			return own.Addr().String()
		}
	}
	return ""
}

// fromInside returns the endpoint as containers reach it.
func (d *docker) fromInside(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || d.alias == "" || u.Hostname() != d.host {
		return endpoint
	}
	u.Host = net.JoinHostPort(d.alias, u.Port())
	return u.String()
}

const image = "public.ecr.aws/lambda/provided:al2023"

// pull reports whether this machine has the functions' image or can pull it.
func (d *docker) pull(ctx context.Context) bool {
	if _, err := dockerCommand(ctx, "image", "inspect", image); err == nil {
		return true
	}
	_, err := dockerCommand(ctx, "pull", "--quiet", image)
	return err == nil
}

// makeImage makes the image that SAM would make of the one it cannot pull. It
// needs no more than a static program of SAM's own, which does in a container
// what Lambda does around a function.
func (d *docker) makeImage(ctx context.Context, samDir string) error {
	arch := architecture()
	programs, err := filepath.Glob(filepath.Join(samDir, "lib", "python3*", "site-packages", "samcli", "local", "rapid", "aws-lambda-rie-"+arch))
	if err != nil || len(programs) != 1 {
		return fmt.Errorf("the image %s cannot be pulled, and this SAM has no runtime to make one of: connect to the network", image)
	}
	program, err := os.ReadFile(programs[0])
	if err != nil {
		return err
	}
	var root bytes.Buffer
	w := tar.NewWriter(&root)
	for _, dir := range []string{"var/rapid", "var/task", "var/runtime", "opt", "tmp", "etc/ssl/certs"} {
		mode := int64(0o755)
		if dir == "tmp" {
			mode = 0o1777
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: mode}); err != nil {
			return err
		}
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: "var/rapid/aws-lambda-rie", Mode: 0o755, Size: int64(len(program))}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	if _, err := w.Write(program); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "docker", "import", "--change", "WORKDIR /var/task",
		"--change", `ENTRYPOINT ["/var/rapid/aws-lambda-rie"]`, "-", image+"-rapid-"+arch)
	cmd.Stdin = &root
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

// removeContainers removes the containers that serve functions of this folder:
// SAM can leave some behind.
func removeContainers() error {
	folder, err := filepath.Abs(".aws-sam")
	if err != nil {
		return err
	}
	ctx := context.Background() // also after Ctrl-C
	ids, err := dockerCommand(ctx, "ps", "--all", "--quiet")
	if err != nil {
		return err
	}
	for id := range strings.FieldsSeq(ids) {
		mounts, err := dockerCommand(ctx, "inspect", "-f", "{{range .Mounts}}{{.Source}}\n{{end}}", id)
		if err == nil && strings.Contains(mounts, folder+string(filepath.Separator)) {
			if _, err := dockerCommand(ctx, "rm", "--force", id); err != nil {
				return err
			}
		}
	}
	return nil
}

func dockerCommand(ctx context.Context, args ...string) (string, error) {
	output, err := exec.CommandContext(ctx, "docker", args...).Output()
	return strings.TrimSpace(string(output)), err
}

// architecture is this machine's, in Lambda's words.
func architecture() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x86_64"
}

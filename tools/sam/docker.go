package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"

	"overplane.dev/leads/tools/internal/samcli"
)

// image is the image of the functions' runtime.
const image = "public.ecr.aws/lambda/provided:al2023"

// checkDocker returns an error that says what to do when Docker does not run.
func checkDocker(ctx context.Context) error {
	if _, err := exec.LookPath("docker"); err != nil {
		return errors.New("install Docker, or use \"make run\", which does not need it")
	}
	if _, err := docker(ctx, "info"); err != nil {
		return errors.New("start Docker, which does not answer (see \"docker info\"), or use \"make run\", which does not need it")
	}
	return nil
}

// hostAddresses returns the address on which a server of this machine must
// listen to be reached from containers, and the host name that containers use.
func hostAddresses(ctx context.Context) (listen, name string) {
	// On Linux, this machine has an address in the network of the containers.
	subnet, err := docker(ctx, "network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Subnet}}")
	if err == nil {
		if address := addressIn(subnet); address != "" {
			return address, address
		}
	}
	// Elsewhere Docker has its own machine, which forwards this name to the
	// loopback address.
	return "127.0.0.1", "host.docker.internal"
}

// addressIn returns this machine's address in a subnet, or "".
func addressIn(subnet string) string {
	prefix, err := netip.ParsePrefix(subnet)
	if err != nil {
		return ""
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range addresses {
		if own, err := netip.ParsePrefix(a.String()); err == nil && prefix.Contains(own.Addr()) {
			return own.Addr().String()
		}
	}
	return ""
}

// ensureImage returns the options of "sam local" for the image. It makes the
// image when this machine neither has it nor can pull it.
func ensureImage(ctx context.Context) (options []string, err error) {
	if _, err := docker(ctx, "image", "inspect", image); err == nil {
		return nil, nil
	}
	if _, err := docker(ctx, "pull", "--quiet", image); err == nil {
		return nil, nil
	}
	arch := samcli.Architecture()
	_, err = samcli.Output(exec.CommandContext(ctx, "tools/sam/make-image", arch, image+"-rapid-"+arch))
	return []string{"--skip-pull-image"}, err
}

// removeContainers removes the containers that serve functions from dir:
// "sam local" can leave some behind.
func removeContainers(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	ctx := context.Background() // also after Ctrl-C
	ids, err := docker(ctx, "ps", "--all", "--quiet")
	if err != nil {
		return err
	}
	for id := range strings.FieldsSeq(ids) {
		mounts, err := docker(ctx, "inspect", "-f", "{{range .Mounts}}{{.Source}}\n{{end}}", id)
		if err == nil && strings.Contains(mounts, dir+string(filepath.Separator)) {
			if _, err := docker(ctx, "rm", "--force", id); err != nil {
				return err
			}
		}
	}
	return nil
}

func docker(ctx context.Context, args ...string) (string, error) {
	output, err := exec.CommandContext(ctx, "docker", args...).Output()
	return strings.TrimSpace(string(output)), err
}

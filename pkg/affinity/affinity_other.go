//go:build !linux

package affinity

// Pin does nothing: Lambda is Linux.
func Pin() {}

//go:build soak

package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/seal"
)

// machines are the state folders of the machines of a fleet. A store that is a file has
// its sealing key beside it; for any other, each machine has a copy.
type machines struct{ root string }

// environ makes the state folder of a machine. It returns the variables of its processes.
func (m machines) environ(t *testing.T, name, storeURL string) []string {
	t.Helper()
	home := filepath.Join(m.root, name)
	first := filepath.Join(m.root, "seal.key")
	if _, err := seal.Create(t.Context(), seal.File(first), seal.Environment{}); err != nil { // it opens one that exists
		t.Fatal(err)
	}
	key, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(home, "jwksctl")
	if err := errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(filepath.Join(folder, "seal.key"), key, 0o600)); err != nil {
		t.Fatal(err)
	}
	return []string{"HOME=" + home, "XDG_STATE_HOME=" + home, "JWKSCTL_STORE=" + storeURL}
}

// ownEnviron has the variables of this process that are not settings of jwksctl.
func ownEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "JWKSCTL_") })
}

// commandLine runs commands on one machine.
type commandLine struct {
	binary  string
	environ []string
}

// run runs a command. The error has what it printed to standard error.
func (c commandLine) run(ctx context.Context, args ...string) (stdout string, code int, err error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.binary, args...)
	cmd.Env = append(ownEnviron(), c.environ...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("jwksctl %s: %w: %s", strings.Join(args, " "), err, &stderr)
	}
	return string(out), cmd.ProcessState.ExitCode(), err
}

// revoke revokes the key that signs, and takes the times that the command prints. The
// command is tried again while it is refused, because no successor is ready, and while
// the store is away.
func (f *fleet) revoke(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute+f.engine.policy.interval, errors.New("no key could be revoked"))
	defer cancel()
	kid := f.checker.newestKid()
	f.checker.revoking(kid)
	for {
		out, code, err := f.operator.run(ctx, "keys", "revoke", kid, "--confirm", kid, "--reason", "fleet", "-o", "json")
		if err == nil {
			return f.revoked(kid, out)
		}
		if code == exitUsage || code == exitFault {
			return err
		}
		if wait(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

func (f *fleet) revoked(kid, out string) error {
	var printed struct {
		Served time.Time `json:"served_until"`
		Cached time.Time `json:"cached_until_ignoring_age"`
	}
	if err := json.Unmarshal([]byte(out), &printed); err != nil {
		return err
	}
	if printed.Served.IsZero() || printed.Cached.Before(printed.Served) {
		return fmt.Errorf("keys revoke printed no times: %s", out)
	}
	f.checker.wasRevoked(kid, printed.Served, printed.Cached)
	return nil
}

// The exit codes of jwksctl.
const (
	exitUsage   = 2
	exitRefused = 5
	exitFault   = 70
)

//go:build soak

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/token"
)

// offsetSource is added to package time: by how many seconds the wall clock is wrong.
const offsetSource = `package time

import "syscall"

var fleetClockOffset = func() int64 {
	text, _ := syscall.Getenv("` + clockVariable + `")
	d, _ := ParseDuration(text)
	return int64(d / Second)
}()
`

const clockVariable = "FLEET_CLOCK_OFFSET"

// buildWithWrongClock builds a jwksctl whose wall clock is off by FLEET_CLOCK_OFFSET. A Go
// program asks the kernel for the time and not the C library, so no library can shift it.
// Therefore this build has a changed time.Now; the shipped binary has nothing of it.
func buildWithWrongClock(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	const reading = "\n\tsec, nsec, mono := runtimeNow()\n"
	parts := strings.Split(string(source), "func Now() Time {"+reading)
	if len(parts) != 2 {
		t.Fatalf("%s: time.Now does not begin as expected, so its clock cannot be changed", original)
	}
	changed := parts[0] + "func Now() Time {" + reading + "\tsec += fleetClockOffset\n" + parts[1]
	replace := map[string]string{
		original: write(t, filepath.Join(folder, "time.go"), changed),
		filepath.Join(filepath.Dir(original), "fleet_clock_offset.go"): write(t, filepath.Join(folder, "offset.go"), offsetSource),
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	return build(t, "-overlay", write(t, filepath.Join(folder, "overlay.json"), string(overlay)))
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// clockOff has a replica run for a while with a clock that is off by more than e. The
// replica must notice it. If the clock is behind, the times in its tokens show that too.
func clockOff(ahead bool) fault {
	return func(_ *testing.T, f *fleet, r *replica, revoke func()) error {
		offset := -(2*f.engine.policy.skew + 2*time.Second)
		if ahead {
			offset = -offset
		}
		binary := f.wrongClock()
		r.kill()
		if err := r.start(f.ctx, binary, fmt.Sprintf("%s=%v", clockVariable, offset)); err != nil {
			return err
		}
		var err error
		if !ahead { // a replica that knows the store's time issues no token later than that
			err = r.wantIssuedAt(f.ctx, offset)
		}
		revoke() // a change that the replica reads, with a time that its clock contradicts
		ended := time.Now().Add(f.engine.policy.interval)
		if !until(f.ctx, f.engine.policy.interval, func() bool { return r.clockProblem(f.ctx) != "" }) {
			err = errors.Join(err, fmt.Errorf("replica %s did not notice that its clock is off by %v", r.name, offset))
		}
		if err := errors.Join(err, wait(f.ctx, time.Until(ended))); err != nil {
			return err
		}
		r.kill()
		return r.start(f.ctx, f.binary)
	}
}

// clockProblem is what /readyz says of the replica's clock, "" if nothing is wrong.
func (r *replica) clockProblem(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, _, body, err := r.ask(ctx, http.MethodGet, "/readyz")
	var answer struct{ Clock string }
	if err != nil || json.Unmarshal(body, &answer) != nil {
		return ""
	}
	return answer.Clock
}

// wantIssuedAt checks that a new token of the replica was issued at a time that is off by
// this offset. A token has whole seconds.
func (r *replica) wantIssuedAt(ctx context.Context, offset time.Duration) error {
	before := time.Now()
	status, _, body, err := r.ask(ctx, http.MethodPost, "/auth")
	after := time.Now()
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("replica %s sent no token: %d, %w: %s", r.name, status, err, body)
	}
	var answer struct{ Token string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	var claims struct{ Iat int64 }
	if err := json.Unmarshal(token.Inspect(answer.Token).Claims, &claims); err != nil {
		return err
	}
	issued := time.Unix(claims.Iat, 0).Add(-offset)
	if issued.Before(before.Add(-time.Second)) || issued.After(after) {
		return fmt.Errorf("replica %s: iat is off by %v, want %v", r.name, time.Unix(claims.Iat, 0).Sub(before), offset)
	}
	return nil
}

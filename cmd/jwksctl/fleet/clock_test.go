//go:build soak

package fleet

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
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

// clockOff has a replica run for a while with a clock that is off by more than e.
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
		revoke()
		if err := wait(f.ctx, f.engine.policy.interval); err != nil {
			return err
		}
		r.kill()
		return r.start(f.ctx, f.binary)
	}
}

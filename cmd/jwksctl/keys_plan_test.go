package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// A plan works for each rotation interval that a policy allows.
func TestPlanOfLongRotations(t *testing.T) {
	start := time.Now()
	for _, interval := range []string{"4s", "24h", "106d", "107d", "365d", "3650d"} {
		p, _, stderr := newProcess(t, "")
		p.environ = append(p.environ, "JWKSCTL_ROTATION_INTERVAL="+interval)
		if code := execute(t.Context(), p, []string{"token"}); code != exitDone {
			t.Fatalf("%s: token gives %d: %s", interval, code, stderr)
		}
		for _, args := range [][]string{nil, {"--until", "+1s"}, {"--until", "9999-12-31T23:59:59Z"}, {"--until", "+60000d"}} {
			again, stdout, stderr := newProcess(t, "")
			again.environ = p.environ
			code := execute(t.Context(), again, append([]string{"keys", "plan", "-o", "json"}, args...))
			var events []keys.Event
			if err := json.Unmarshal(stdout.Bytes(), &events); code == exitDone && (err != nil || (args == nil && len(events) == 0)) {
				t.Errorf("%s %q: %v in %s", interval, args, err, stdout)
			}
			for _, e := range events {
				if e.At.Before(start) {
					t.Errorf("%s %q: %v is in the past", interval, args, e)
				}
			}
			if code != exitDone && (args == nil || args[1] == "+1s") {
				t.Errorf("%s %q gives %d: %s", interval, args, code, stderr)
			}
		}
	}
	for _, rotation := range []time.Duration{4 * time.Second, 106 * 24 * time.Hour, 107 * 24 * time.Hour, 3650 * 24 * time.Hour} {
		if ahead := latestPlanned(start, rotation).Sub(start); ahead < 20*rotation || ahead > maxPlanned*rotation && rotation < 106*24*time.Hour {
			t.Errorf("a plan for %v may end in %v", rotation, ahead)
		}
	}
}

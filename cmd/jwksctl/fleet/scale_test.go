//go:build soak

package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
)

const (
	scaleRounds = 3
	mostIdle    = 2.0 // statements a second that an idle replica may send
)

// scalePolicy rotates often enough to measure some rotations, and leaves time in which
// nothing happens.
func scalePolicy() policy {
	return policy{interval: 20 * time.Second, staleness: 5 * time.Second, maxAge: time.Second, skew: time.Second, leeway: time.Second}
}

// TestScale measures 1, 3, 10 and 30 replicas on one PostgreSQL. `make scale` runs it.
// PostgreSQL logs each statement that it gets, and those lines are counted.
func TestScale(t *testing.T) {
	binary := build(t)
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "replicas\tidle, statements/s\ta replica\tin a rotation, statements/s\trotation: median\tworst\trevocation: median\tworst")
	for _, n := range []int{1, 3, 10, 30} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			m := newScale(t, binary, n).measure(t)
			each := m.idle / float64(n)
			if each > mostIdle || each == 0 {
				t.Errorf("an idle replica sends %.2f statements a second, want at most %.0f, and some", each, mostIdle)
			}
			_, _ = fmt.Fprintf(w, "%d\t%.1f\t%.2f\t%.1f\t%s\t%s\t%s\t%s\n", n, m.idle, each, median(m.busy),
				ms(median(m.rotations)), ms(slices.Max(m.rotations)), ms(median(m.revocations)), ms(slices.Max(m.revocations)))
		})
	}
	_ = w.Flush() // a strings.Builder never fails
	t.Logf("\n%s", &text)
}

func ms(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

func median[T float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// scale is a number of replicas on one PostgreSQL.
type scale struct {
	server   *postgrestest.Server
	replicas []*replica
	operator commandLine
}

// measured are the figures of one number of replicas.
type measured struct {
	idle        float64         // statements a second of all replicas
	busy        []float64       // likewise, in the two seconds of each rotation
	rotations   []time.Duration // from the swap until the last replica signs with the new key
	revocations []time.Duration // from the end of the command until the last replica does not serve the key
}

func newScale(t *testing.T, binary string, n int) *scale {
	t.Helper()
	s := &scale{server: postgrestest.Start(t, "log_statement = all")}
	state, url := machines{t.TempDir()}, s.server.TCPURL("postgres")
	s.operator = commandLine{binary, state.environ(t, "operator", url)}
	for i := range n {
		name := strconv.Itoa(i)
		environ := append(state.environ(t, name, url), scalePolicy().environ()...)
		r := newReplica(name, state.root, append(environ, "JWKSCTL_ISSUER="+issuer), newChecker(0))
		if err := r.start(t.Context(), binary); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.kill)
		s.replicas = append(s.replicas, r)
	}
	return s
}

func (s *scale) measure(t *testing.T) (m measured) {
	t.Helper()
	p := scalePolicy()
	// The keyset is new: nothing is due before the first rotation.
	s.wait(t, 2*time.Second)
	before, began := s.statements(), time.Now()
	s.wait(t, time.Until(s.nextRotation(t))-2*time.Second)
	m.idle = float64(s.statements()-before) / time.Since(began).Seconds()
	for range scaleRounds {
		s.wait(t, time.Until(s.nextRotation(t))-500*time.Millisecond)
		before, began = s.statements(), time.Now()
		m.rotations = append(m.rotations, s.awaitRotation(t))
		s.wait(t, 2*time.Second-time.Since(began))
		m.busy = append(m.busy, float64(s.statements()-before)/time.Since(began).Seconds())
		s.wait(t, p.staleness+2*p.maxAge+p.skew) // until a successor is ready
		m.revocations = append(m.revocations, s.revoke(t))
	}
	return m
}

// nextRotation is when the keys rotate next.
func (s *scale) nextRotation(t *testing.T) time.Time {
	t.Helper()
	var answer struct {
		NextRotation time.Time `json:"next_rotation"`
	}
	_, _, body, err := s.replicas[0].ask(t.Context(), http.MethodGet, "/readyz")
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil || answer.NextRotation.IsZero() {
		t.Fatalf("the time of the next rotation: %v, %v", answer, err)
	}
	return answer.NextRotation
}

func (s *scale) wait(t *testing.T, d time.Duration) {
	t.Helper()
	if err := wait(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// statements is how many statements the server has been sent.
func (s *scale) statements() int {
	log := s.server.Log()
	return strings.Count(log, "LOG:  statement: ") + strings.Count(log, "LOG:  execute ")
}

// awaitRotation waits for the next timed rotation, and returns how long after the swap the
// last replica signed with the new key.
func (s *scale) awaitRotation(t *testing.T) time.Duration {
	t.Helper()
	old := s.replicas[0].activeKid(t.Context())
	done := s.awaitAll(t, func(r *replica) bool {
		kid := r.activeKid(t.Context())
		return kid != "" && kid != old
	})
	var key struct {
		ActiveAt time.Time `json:"active_at"`
	}
	s.command(t, &key, "keys", "show", s.replicas[0].activeKid(t.Context()), "-o", "json")
	if key.ActiveAt.IsZero() {
		t.Fatal("keys show does not print when the key began to sign")
	}
	return done.Sub(key.ActiveAt)
}

// revoke revokes the key that signs, and returns how long after the end of the command the
// last replica stopped to serve it.
func (s *scale) revoke(t *testing.T) time.Duration {
	t.Helper()
	kid := s.replicas[0].activeKid(t.Context())
	s.command(t, &struct{}{}, "keys", "revoke", kid, "--confirm", kid, "-o", "json")
	ended := time.Now()
	return s.awaitAll(t, func(r *replica) bool {
		status, _, body, err := r.ask(t.Context(), http.MethodGet, "/jwks")
		return err == nil && status == http.StatusOK && !bytes.Contains(body, []byte(kid))
	}).Sub(ended)
}

// command runs a command of the operator and decodes what it prints.
func (s *scale) command(t *testing.T, result any, args ...string) {
	t.Helper()
	out, _, err := s.operator.run(t.Context(), args...)
	if err == nil {
		err = json.Unmarshal([]byte(out), result)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// awaitAll asks each replica every 10 ms until done returns true for it. It returns when the
// last one did.
func (s *scale) awaitAll(t *testing.T, done func(r *replica) bool) time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*scalePolicy().interval)
	defer cancel()
	var asking sync.WaitGroup
	for _, r := range s.replicas {
		asking.Go(func() {
			for !done(r) {
				if wait(ctx, 10*time.Millisecond) != nil {
					t.Errorf("replica %s: the change does not arrive: %s", r.name, r.lastLines())
					return
				}
			}
		})
	}
	asking.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return time.Now()
}

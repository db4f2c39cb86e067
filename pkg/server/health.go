package server

import (
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jwksctl/jwksctl/pkg/audit"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// errDraining is the reason why a server that shuts down is not ready.
var errDraining = errors.New("the server is shutting down")

// ready returns nil while a load balancer should send requests to this server.
func (s *Server) ready(status keys.Status) error {
	if s.draining.Load() {
		return errDraining
	}
	return status.Ready()
}

// livez answers 200 as long as the process can answer requests.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, "application/json", struct {
		Alive bool `json:"alive"`
	}{true})
	return nil
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready        bool      `json:"ready"`
	Reason       string    `json:"reason,omitempty"` // why the server is not ready
	KeyID        string    `json:"kid"`              // the kid of the active key
	NextRotation time.Time `json:"next_rotation,omitzero"`
	SnapshotAge  float64   `json:"snapshot_age_seconds"` // time since the keyset was confirmed with the store
	Store        string    `json:"store,omitempty"`      // what is wrong with the store, also while the server is ready
	Clock        string    `json:"clock,omitempty"`      // why the server takes no step, also while it is ready
	Audit        string    `json:"audit,omitempty"`      // why the server may issue no token, also while it is ready
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) error {
	status := s.o.Ring.Status()
	answer := readiness{
		Ready: true, KeyID: status.Keyset.Active().KeyID(),
		NextRotation: status.Keyset.NextRotation().UTC().Truncate(time.Second), SnapshotAge: status.Age.Seconds(),
		Store: status.StoreProblem(),
	}
	if status.Clock != nil {
		answer.Clock = status.Clock.Text
	}
	// The server stays ready, because it publishes the keys, and because only a request
	// shows that the log can be written again.
	if s.o.Audit.Err() != nil {
		answer.Audit = audit.ErrUnavailable.Error()
	}
	code := http.StatusOK
	if err := s.ready(status); err != nil {
		answer.Ready, answer.Reason = false, reason(err)
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, "application/json", answer)
	return nil
}

// reason returns the detail of the problem table. It contains no text of the store's
// error, because any client can read it.
func reason(err error) string {
	if errors.Is(err, errDraining) {
		return err.Error()
	}
	p, _ := problemOf(err)
	return p.detail
}

// ringCollector reads the state of the ring each time the metrics are collected.
type ringCollector struct{ server *Server }

// Describe implements prometheus.Collector. It describes nothing, so that the registry
// does not check the metrics in advance.
func (c *ringCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *ringCollector) Collect(out chan<- prometheus.Metric) {
	send := func(kind prometheus.ValueType, name, help string, value float64, label ...string) {
		var names, values []string
		if len(label) == 2 {
			names, values = label[:1], label[1:]
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, values...)
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue

	status := c.server.o.Ring.Status()
	for state, n := range countByState(status) {
		send(gauge, "jwksctl_keys", "Keys by state; expired and revoked keys only while they are in the history.", n, "state", string(state))
	}
	if next := status.Keyset.NextRotation(); !next.IsZero() {
		send(gauge, "jwksctl_next_rotation_seconds", "Seconds until the next rotation.", next.Sub(status.Now).Seconds())
	}
	send(gauge, "jwksctl_snapshot_age_seconds", "Seconds since the keyset was confirmed with the store.", status.Age.Seconds())
	send(gauge, "jwksctl_unreadable_keys", "Private keys that cannot be opened.", float64(len(status.Unreadable)))
	send(gauge, "jwksctl_store_up", "1 if the newest read of the store succeeded, else 0.", oneIf(status.StoreError == nil))
	send(gauge, "jwksctl_ready", "1 if /readyz answers 200, else 0.", oneIf(c.server.ready(status) == nil))
	send(gauge, "jwksctl_rotation_overdue_seconds", "Seconds by which the active key has exceeded its rotation interval.", status.Overdue.Seconds())
	send(counter, "jwksctl_rotations_total", "Changes of the active key that this process has seen, made by any process.", float64(status.Rotations))
	send(counter, "jwksctl_revocations_total", "Revocations that this process has seen, made by any process.", float64(status.Revocations))
	send(counter, "jwksctl_late_landings_total", "Versions of the keyset of which this process has proof that they became visible after their deadline.", float64(status.LateLandings))
	send(counter, "jwksctl_audit_failures_total", "Lines that could not be written into the audit log.", float64(c.server.o.Audit.Failures()))
	for _, step := range keys.Steps() {
		send(counter, "jwksctl_steps_total", "Steps of the lifecycle that this process took.", float64(status.Steps[step]), "step", string(step))
	}
	for _, guard := range keys.Guards() {
		send(counter, "jwksctl_steps_refused_total", "Steps that a guard refused in this process.", float64(status.Refused[guard]), "guard", string(guard))
	}
}

// countByState counts the keys without the specimen.
func countByState(status keys.Status) map[keys.State]float64 {
	count := map[keys.State]float64{keys.Pending: 0, keys.Active: 0, keys.Retired: 0, keys.Expired: 0, keys.Revoked: 0}
	for _, all := range [][]keys.Key{status.Keyset.Keys, status.Keyset.History} {
		for _, k := range all {
			count[k.State(status.Now)]++
		}
	}
	return count
}

func oneIf(ok bool) float64 {
	if ok {
		return 1
	}
	return 0
}

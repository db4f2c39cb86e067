package server

import (
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// errDraining is why a server that ends is not ready.
var errDraining = errors.New("the server is shutting down")

// ready is nil while the server should be sent requests. /readyz and the metrics
// both ask here.
func (s *Server) ready(status keys.Status) error {
	if s.draining.Load() {
		return errDraining
	}
	return status.Ready()
}

// livez answers as long as the process can answer anything.
func (s *Server) livez(w *response, _ *http.Request) error {
	return w.json(http.StatusOK, "application/json", struct {
		Alive bool `json:"alive"`
	}{true})
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready        bool      `json:"ready"`
	Reason       string    `json:"reason,omitempty"` // why not
	KeyID        string    `json:"kid"`              // of the key that signs
	NextRotation time.Time `json:"next_rotation,omitzero"`
	SnapshotAge  float64   `json:"snapshot_age_seconds"` // since the keyset was confirmed with the store
}

func (s *Server) readyz(w *response, _ *http.Request) error {
	status := s.o.Ring.Status()
	answer := readiness{
		Ready: true, KeyID: status.Keyset.Active().KeyID(),
		NextRotation: status.Keyset.NextRotation().UTC().Truncate(time.Second), SnapshotAge: status.Age.Seconds(),
	}
	code := http.StatusOK
	if err := s.ready(status); err != nil {
		answer.Ready, answer.Reason = false, reason(err)
		code = http.StatusServiceUnavailable
	}
	return w.json(code, "application/json", answer)
}

// reason is what anybody may read: the text of the table, not of the store.
func reason(err error) string {
	if errors.Is(err, errDraining) {
		return err.Error()
	}
	p, _ := classify(err)
	return p.detail
}

// ringCollector shows the ring as it stands when the metrics are read.
type ringCollector struct{ server *Server }

// Describe says nothing, so that the registry takes the metrics as they come.
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
	for state, n := range census(status) {
		send(gauge, "jwksctl_keys", "Keys by state; expired and revoked ones as far as they are remembered.", n, "state", string(state))
	}
	if next := status.Keyset.NextRotation(); !next.IsZero() {
		send(gauge, "jwksctl_next_rotation_seconds", "Seconds until the next key takes over.", next.Sub(status.Now).Seconds())
	}
	send(gauge, "jwksctl_snapshot_age_seconds", "Seconds since the keyset was confirmed with the store.", status.Age.Seconds())
	send(gauge, "jwksctl_unreadable_keys", "Private halves that cannot be opened.", float64(len(status.Unreadable)))
	ready := 0.0
	if c.server.ready(status) == nil {
		ready = 1
	}
	send(gauge, "jwksctl_ready", "1 while the server can sign and publish, as /readyz says.", ready)
	send(gauge, "jwksctl_rotation_overdue_seconds", "Seconds that the active key has signed beyond its time.", status.Overdue.Seconds())
	send(counter, "jwksctl_rotations_total", "Changes of the active key that this process has seen, whoever made them.", float64(status.Rotations))
	send(counter, "jwksctl_revocations_total", "Revocations that this process has seen, whoever made them.", float64(status.Revocations))
	for _, step := range keys.Steps() {
		send(counter, "jwksctl_steps_total", "Steps in the life of the keys that this process took.", float64(status.Steps[step]), "step", string(step))
	}
	for _, guard := range keys.Guards() {
		send(counter, "jwksctl_steps_refused_total", "Steps that a guard held back in this process.", float64(status.Refused[guard]), "guard", string(guard))
	}
}

// census counts the keys by state. The specimen is none of them.
func census(status keys.Status) map[keys.State]float64 {
	count := map[keys.State]float64{keys.Pending: 0, keys.Active: 0, keys.Retired: 0, keys.Expired: 0, keys.Revoked: 0}
	for _, all := range [][]keys.Key{status.Keyset.Keys, status.Keyset.History} {
		for _, k := range all {
			count[k.State(status.Now)]++
		}
	}
	return count
}

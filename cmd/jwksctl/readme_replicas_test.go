//go:build unix

package main

import (
	"testing"

	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
)

// TestReadmeReplicas does what TestReadmeTour does, with the console blocks about replicas,
// which need a PostgreSQL.
func TestReadmeReplicas(t *testing.T) {
	tour := newTour(t)
	tour.real[documentedStore] = postgrestest.Start(t).CreateDatabase(t)
	tour.follow("console replicas")
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

func TestConformance(t *testing.T) {
	server := postgrestest.Start(t)
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		url := server.CreateDatabase(t)
		return storetest.Fixture{Open: func() keys.Store {
			s, err := Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}}
	})
}

func openStore(t *testing.T, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func swap(t *testing.T, s *Store, c keys.Change) {
	t.Helper()
	if err := s.Swap(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func wantVersion(t *testing.T, s *Store, want uint64) {
	t.Helper()
	record, err := s.Load(t.Context())
	if errors.Is(err, keys.ErrNoKeyset) {
		err = nil
	}
	if err != nil || record.Version != want {
		t.Errorf("Load = version %d, %v, want version %d", record.Version, err, want)
	}
}

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// opener is Open or OpenReader.
type opener = func(ctx context.Context, url string) (*Store, error)

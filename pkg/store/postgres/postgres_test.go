package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

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

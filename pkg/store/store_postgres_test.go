//go:build unix

package store_test

import (
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store"
	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
)

// Both names of the scheme open the same store.
func TestOpenPostgres(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	writer, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close() //nolint:errcheck // a test
	if err := writer.Swap(t.Context(), keys.Change{Document: []byte("one")}); err != nil {
		t.Fatal(err)
	}
	other := "postgresql" + strings.TrimPrefix(url, "postgres")
	reader, err := store.OpenReader(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close() //nolint:errcheck // a test
	if record, err := reader.Load(t.Context()); err != nil || record.Version != 1 {
		t.Errorf("Load = version %d, %v", record.Version, err)
	}
	if store.Name(url) == "" || store.Name(url) != store.Name(other) {
		t.Errorf("Name = %q and %q, want one name", store.Name(url), store.Name(other))
	}
}

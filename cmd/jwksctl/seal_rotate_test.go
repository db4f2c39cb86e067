package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
)

// A key file that cannot be replaced, as on a full disk, is no mistake in the settings. Its
// name is too long for a temporary file beside it.
func TestAKeyFileThatCannotBeReplacedIsNoUsageError(t *testing.T) {
	line, _, err := seal.NewLine()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), strings.Repeat("k", 250))
	if err := os.WriteFile(path, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.Open(t.Context(), seal.File(path), seal.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Create(t.Context(), keys.Options{Store: memory.New(time.Now), Sealer: sealer}, keystest.Policy(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	r := sealRotation{ring: ring, names: sealer.Names(), file: path}
	if err := r.run(t.Context(), settings{}); err == nil || codeOf(err) != exitFailed || !strings.Contains(err.Error(), "kkk") {
		t.Errorf("run = %v, exit code %d", err, codeOf(err))
	}
}

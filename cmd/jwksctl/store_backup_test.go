package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestBackupIsNotPrintedOnATerminal(t *testing.T) {
	p, _, _ := newProcess(t, "")
	p.stateFolder = t.TempDir()
	if code := execute(t.Context(), p, []string{"token"}); code != exitDone {
		t.Fatalf("token gives %d", code)
	}
	for _, terminal := range []bool{true, false} {
		q, stdout, stderr := newProcess(t, "")
		q.environ, q.stateFolder = p.environ, p.stateFolder
		q.terminal = func(any) bool { return terminal }
		code := execute(t.Context(), q, []string{"store", "backup", "-"})
		if terminal && (code != exitUsage || stdout.Len() > 0 || !strings.Contains(stderr.String(), "not printed on a terminal")) {
			t.Errorf("on a terminal: %d, %s%s", code, stdout, stderr)
		}
		if !terminal && (code != exitDone || !strings.HasPrefix(stdout.String(), `{`)) {
			t.Errorf("to a pipe: %d, %s%s", code, stdout, stderr)
		}
	}
	file := filepath.Join(t.TempDir(), "b.json")
	q, _, stderr := newProcess(t, "")
	q.environ, q.stateFolder = p.environ, p.stateFolder
	q.terminal = func(any) bool { return true }
	if code := execute(t.Context(), q, []string{"store", "backup", file}); code != exitDone {
		t.Errorf("to a file from a terminal: %d, %s", code, stderr)
	}
}

//go:build unix

package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

const nobody = 65534 // a user and a group that own nothing

// readOnce opens the store for reading, as nobody if the process is root, whom no mode
// refuses. It prints what it reads, and why it cannot write.
func readOnce(ctx context.Context, path string) error {
	if err := dropRoot(); err != nil {
		return err
	}
	s, err := OpenReader(ctx, path, time.Now)
	if err != nil {
		return err
	}
	record, err := s.Load(ctx)
	if err != nil {
		return err
	}
	sealed, err := s.PrivateKey(ctx, "a")
	if err != nil {
		return err
	}
	fmt.Printf("%d %s %s; %v\n", record.Version, record.Document, sealed, s.Swap(ctx, keys.Change{Version: record.Version, Document: []byte("x")}))
	return s.Close()
}

func dropRoot() error {
	if os.Geteuid() != 0 {
		return nil
	}
	return errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody))
}

// readMany is readOnce for a process that reads again for each line that it is given.
func readMany(ctx context.Context, path string) error {
	if err := dropRoot(); err != nil {
		return err
	}
	s, err := OpenReader(ctx, path, time.Now)
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		record, err := s.Load(ctx)
		fmt.Printf("%s %v\n", record.Document, err)
	}
	return s.Close()
}

// readOnly lets the process of readOnce read the files of the store and write nothing.
func readOnly(t *testing.T, path string) {
	t.Helper()
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		err := os.Chmod(name, 0o440)
		if err == nil && os.Geteuid() == 0 {
			err = os.Chown(name, -1, nobody)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	for mode, dir := range map[fs.FileMode]string{0o555: filepath.Dir(path), 0o711: filepath.Dir(filepath.Dir(path))} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadOnlyStore(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	path := filepath.Join(dir, "keys.db")
	read := func() string {
		t.Helper()
		readOnly(t, path)
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), roleEnv+"=read", pathEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return string(out)
	}
	want := func(got, text string) {
		t.Helper()
		if !strings.HasPrefix(got, text+"; ") || !strings.Contains(got, "readonly database") || !strings.Contains(got, "may write to its folder") {
			t.Errorf("a reader printed %q, want %q and why it cannot write", got, text)
		}
	}
	s, err := Open(t.Context(), path, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	swap(t, s, keys.Change{Document: []byte("one"), Put: map[string][]byte{"a": []byte("key")}})
	want(read(), "1 one key") // from the log, while a process has the store open
	swap(t, s, keys.Change{Version: 1, Document: []byte("two")})
	want(read(), "2 two key")

	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want(read(), "2 two key") // from the file alone
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder contains %v, %v", entries, err)
	}
}

// A replica that only publishes reads for months, while other processes come and go.
func TestReaderFollowsAStoreThatItCannotWrite(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	path := filepath.Join(dir, "keys.db")
	version := uint64(0)
	var s *Store
	open := func() {
		t.Helper()
		err := os.Chmod(dir, 0o700)
		if version > 0 {
			err = errors.Join(err, os.Chmod(path, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		if s, err = Open(t.Context(), path, time.Now); err != nil {
			t.Fatal(err)
		}
	}
	write := func() {
		t.Helper()
		swap(t, s, keys.Change{Version: version, Document: fmt.Appendf(nil, "document %d", version+1)})
		version++
	}
	closeStore := func() {
		t.Helper()
		if err := errors.Join(os.Chmod(dir, 0o700), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	open()
	write()
	closeStore()
	readOnly(t, path)

	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=readMany", pathEnv+"="+path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	want := func(when string) {
		t.Helper()
		readOnly(t, path)
		if _, err := in.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("document %d <nil>\n", version) {
			t.Errorf("%s: %q, %v, want document %d", when, line, err, version)
		}
	}
	want("without a log")
	open()
	write()
	want("a process has the store open")
	write()
	want("the same process wrote again")
	closeStore()
	want("the process has ended")
	open()
	write()
	closeStore()
	want("another one came and went")

	if err := errors.Join(os.Chmod(dir, 0o700), os.Rename(path, path+".old")); err != nil {
		t.Fatal(err)
	}
	version = 0
	open()
	write()
	closeStore()
	readOnly(t, path)
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "was removed or replaced") {
		t.Errorf("another file: %q, %v", line, err)
	}
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		t.Error(err)
	}
}

// An immutable file is read without locks, so every read checks that it stayed the same.
func TestAnImmutableStoreThatChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s, err := Open(t.Context(), path, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	swap(t, s, keys.Change{Document: []byte("one"), Put: map[string][]byte{"a": []byte("key")}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// The log of a process that was killed.
	if err := os.WriteFile(path+"-wal", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkNoLog(path); err == nil || !strings.Contains(err.Error(), "keys.db-wal") {
		t.Errorf("with a log: %v", err)
	}
	if err := os.Remove(path + "-wal"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := openReadOnly(t.Context(), path, info, time.Now, true)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close() //nolint:errcheck // nothing was written
	if record, err := reader.Load(t.Context()); err != nil || string(record.Document) != "one" {
		t.Errorf("Load = %q, %v", record.Document, err)
	}
	swap(t, openStore(t, path), keys.Change{Version: 1, Document: []byte("two")})
	if _, err := reader.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "was changed while it was read: retry") {
		t.Errorf("Load after a change = %v", err)
	}
	if _, err := reader.PrivateKey(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "retry") {
		t.Errorf("PrivateKey after a change = %v", err)
	}
}

func TestReadOnlyStoreWithoutAKeyset(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	if err := createFile(path); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path: "", createSchema1(t): "has schema 1, and this process may not write it"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := openReadOnly(t.Context(), name, info, time.Now, true)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(t.Context()); !errors.Is(err, keys.ErrNoKeyset) {
			t.Errorf("Load = %v, want ErrNoKeyset", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	fileLabel = "jwksctl-seal-key-"
	fileMagic = fileLabel + "1 "
	fileMax   = 1 << 10 // bytes, far more than the 62 of a key file
)

// Load reads the key file at path. It never creates one. The error matches
// [fs.ErrNotExist] if there is no such file. On systems with Unix permissions a
// file that its group or others may read is refused.
func Load(path string) (Key, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Key{}, fmt.Errorf("seal key %s: %w: without it the private keys in the store cannot be read; "+
			"put back the file that was made together with the store", path, fs.ErrNotExist)
	}
	if err != nil {
		return Key{}, fmt.Errorf("seal key: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read

	info, err := f.Stat()
	if err != nil {
		return Key{}, fmt.Errorf("seal key: %w", err)
	}
	if err := fit(info); err != nil {
		return Key{}, fmt.Errorf("seal key %s: %v", path, err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return Key{}, fmt.Errorf("seal key: %w", err)
	}
	secret, err := parse(text)
	if err != nil {
		return Key{}, fmt.Errorf("seal key %s: %v", path, err)
	}
	return derive(secret)
}

// fit says what keeps a file from being used as a key file before it is read.
func fit(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return errors.New("not a regular file")
	case runtime.GOOS != "windows" && mode.Perm()&0o077 != 0:
		return fmt.Errorf("mode %04o lets others read or change it: chmod 600 it", mode.Perm())
	case info.Size() > fileMax:
		return errors.New("not a key file: it is too long")
	}
	return nil
}

// parse returns the 32 bytes that the text of a key file stands for. Its errors
// quote nothing of the text.
func parse(text []byte) ([]byte, error) {
	line := strings.TrimRight(string(text), "\r\n")
	encoded, ours := strings.CutPrefix(line, fileMagic)
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return nil, errors.New("the file is empty: put back the one that was made together with the store")
	case !ours && strings.HasPrefix(line, fileLabel):
		return nil, errors.New("the key is of another format than this program knows: try a newer one")
	case !ours:
		return nil, fmt.Errorf("not a key file: it is one line that starts with %q", fileMagic)
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return nil, errors.New("the key is not base64url: the file is damaged or half written")
	}
	if len(secret) != secretSize {
		return nil, fmt.Errorf("the key has %d bytes, not %d: the file is damaged or half written", len(secret), secretSize)
	}
	return secret, nil
}

// format is the inverse of parse.
func format(secret []byte) []byte {
	return []byte(fileMagic + base64.RawURLEncoding.EncodeToString(secret) + "\n")
}

// Create returns the key in the file at path and makes both, mode 0600, in a
// folder of mode 0700, if there is none. Of several processes that do so at once
// one makes the file and all return its key. A file that exists and cannot be
// used is an error and stays as it is.
func Create(path string) (Key, error) {
	return create(path, os.Link)
}

// create is Create with the system's way to give a file a second name.
func create(path string, link func(old, name string) error) (Key, error) {
	key, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Key{}, fmt.Errorf("seal key: make its folder: %w", err)
	}
	err = publish(path, format(newSecret()), link)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("seal key %s: %w", path, err)
	}
	if err := syncDir(dir); err != nil {
		return Key{}, fmt.Errorf("seal key: make %s durable: %w", path, err)
	}
	return Load(path)
}

// publish makes text, durable and whole, the file at path, or returns an error
// that matches fs.ErrExist if there is one already. A hard link does that in one
// step. Where the filesystem has none, the file is written in place: a process
// that reads it in that moment sees half a key and says so.
func publish(path string, text []byte, link func(old, name string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".seal-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // a leftover is harmless
	if err := write(f, text); err != nil {
		return err
	}
	if link(f.Name(), path) == nil {
		return nil
	}
	f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := write(f, text); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// write writes text to f, waits until it is on the disk, and closes f.
func write(f *os.File, text []byte) error {
	_, err := f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// syncDir makes the names in dir durable. Windows has no such call and needs
// none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

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
	"strings"
	"syscall"

	"github.com/jwksctl/jwksctl/pkg/atomicfile"
	"github.com/jwksctl/jwksctl/pkg/fileaccess"
)

const (
	fileLabel = "jwksctl-seal-key-"
	fileMagic = fileLabel + "1 "
	fileMax   = 1 << 10 // bytes; a key file has 62
)

// Load reads the key file at path. It never creates one. The error matches
// [fs.ErrNotExist] if there is no such file. It refuses a file that other users may
// read or change; package fileaccess says who they are.
func Load(path string) (Key, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := fileaccess.CheckLink(path); err != nil {
			return Key{}, fmt.Errorf("seal key: %v", err)
		}
		return Key{}, fmt.Errorf("seal key %s: %w: without it the private keys in the store cannot be read; "+
			"restore the file that was created together with the store", path, fs.ErrNotExist)
	}
	if err != nil {
		return Key{}, fmt.Errorf("seal key: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read

	info, err := f.Stat()
	if err != nil {
		return Key{}, fmt.Errorf("seal key: %w", err)
	}
	if err := checkFile(path, info); err != nil {
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
	atomicfile.RemoveLeftovers(path) // a copy of the key that a killed Create left
	return derive(secret)
}

// checkFile returns an error if the file cannot be a key file.
func checkFile(path string, info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	case info.Size() > fileMax:
		return errors.New("not a key file: it is too long")
	}
	return fileaccess.Check(path, info)
}

// parse returns the 32 bytes in the text of a key file. Its errors do not quote the
// text.
func parse(text []byte) ([]byte, error) {
	line := strings.TrimRight(string(text), "\r\n")
	encoded, isKeyFile := strings.CutPrefix(line, fileMagic)
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return nil, errors.New("the file is empty: restore the one that was created together with the store")
	case !isKeyFile && strings.HasPrefix(line, fileLabel):
		return nil, errors.New("the key has a format that this release does not know: use a newer release")
	case !isKeyFile:
		return nil, fmt.Errorf("not a key file: it is one line that starts with %q", fileMagic)
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return nil, errors.New("the key is not base64url: the file is damaged or incomplete")
	}
	if len(secret) != secretSize {
		return nil, fmt.Errorf("the key has %d bytes, not %d: the file is damaged or incomplete", len(secret), secretSize)
	}
	return secret, nil
}

// format is the inverse of parse.
func format(secret []byte) []byte {
	return []byte(fileMagic + base64.RawURLEncoding.EncodeToString(secret) + "\n")
}

// Create returns the key in the file at path. If there is no file, it makes one of
// mode 0600, and its folder of mode 0700. If several processes do so at once, one of
// them makes the file and all return its key. A file that exists and cannot be used
// is an error and stays as it is.
func Create(path string) (Key, error) {
	key, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return Key{}, fmt.Errorf("seal key %s: make its folder: %w: %s", path, err, hint(err))
	}
	err = atomicfile.Create(path, format(newSecret()), 0o600)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("seal key %s: %w: %s", path, err, hint(err))
	}
	return Load(path)
}

// hint says what to do about a file that cannot be made.
func hint(err error) string {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return "free space on the disk, or raise the quota, and retry"
	}
	return "choose a folder that you may write to"
}

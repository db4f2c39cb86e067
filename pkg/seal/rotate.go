package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/jwksctl/jwksctl/pkg/atomicfile"
)

// AddKey adds a line with a new key to the end of the key file at path, and returns the
// name of that key. A reader sees the old file or the new one.
func AddKey(path string) (name string, err error) {
	path, secrets, err := readSecrets(path)
	if err != nil {
		return "", err
	}
	secret := newSecret()
	key, err := derive(secret)
	if err != nil {
		return "", err
	}
	return key.name, replaceFile(path, format(append(secrets, secret)...))
}

// KeepKey makes the key with that name the only one in the key file at path. It first
// writes each other key to a file of its own, PATH.NAME with the name of that key and mode
// 0600, and returns the paths of these files.
func KeepKey(path, name string) (moved []string, err error) {
	path, secrets, err := readSecrets(path)
	if err != nil {
		return nil, err
	}
	lines := map[string][]byte{} // by the name of the key
	for _, secret := range secrets {
		key, err := derive(secret)
		if err != nil {
			return nil, err
		}
		lines[key.name] = format(secret)
	}
	kept, ok := lines[name]
	if !ok {
		return nil, fmt.Errorf("seal key %s: it does not have the key %s", File(path), name)
	}
	delete(lines, name)
	for _, other := range slices.Sorted(maps.Keys(lines)) {
		file := path + "." + other
		if err := createWith(file, lines[other]); err != nil {
			return nil, err
		}
		moved = append(moved, file)
	}
	return moved, replaceFile(path, kept)
}

// CheckChange returns an error if the key file at path, or a file beside it, cannot be
// made, as on a read-only mount.
func CheckChange(path string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	return atomicfile.CheckFolder(path)
}

// readSecrets reads the key file at path, and returns its own path if path is a link.
func readSecrets(path string) (file string, secrets [][]byte, err error) {
	text, err := readFile(path)
	if err == nil {
		secrets, err = parse(text)
	}
	if err == nil {
		file, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", nil, fmt.Errorf("seal key %s: %w", File(path), err)
	}
	return file, secrets, nil
}

// createWith makes a file of mode 0600. A file with the same content may exist already.
func createWith(path string, text []byte) error {
	err := atomicfile.Create(path, text, 0o600)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, err := readFile(path)
	if err == nil && !bytes.Equal(there, text) {
		err = errors.New("it exists and has something else in it: move it away")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// replaceFile replaces a key file. It keeps its mode.
func replaceFile(path string, text []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return atomicfile.Replace(path, text, info.Mode().Perm())
}

// ErrLocked says that another process has locked a key file.
var ErrLocked = errors.New("another process is changing this file")

// Lock keeps other processes from changing the key file at path, until unlock is called or
// this process ends. Processes that only read the file are not kept from that.
func Lock(path string) (unlock func(), err error) {
	path, err = filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	f, err := lock(path)
	if err != nil {
		return nil, fmt.Errorf("seal key %s: %w", File(path), err)
	}
	return func() { _ = f.Close() }, nil
}

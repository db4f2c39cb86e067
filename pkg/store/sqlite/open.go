package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/jwksctl/jwksctl/pkg/fileaccess"
)

const (
	// busyTimeout is how long a statement waits for the locks of other processes.
	busyTimeout = 5 * time.Second

	// busyRetry is the pause between two tries where SQLite does not wait itself.
	busyRetry = 5 * time.Millisecond

	// minPageSize is the size in bytes of the smallest database that is not empty.
	// SQLite treats a shorter file as a new one and would overwrite it.
	minPageSize = 512
)

// Open opens the store at path. It creates the file, and its folder with mode 0700,
// if they do not exist; any number of processes may do so at once. Deadlines of
// changes are compared with now. The errors name the path and match only those of ctx.
func Open(ctx context.Context, path string, now func() time.Time) (*Store, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("store %s: %v", path, err)
	}
	file, err := prepareFile(absolute)
	if err != nil {
		return nil, err
	}
	// If this fails, SQLite uses POSIX locks.
	_, _ = sqlite.OFDLocking(true)
	connector, err := sqlite.NewConnector(dsn(absolute))
	if err != nil {
		return nil, fmt.Errorf("store %s: %v", absolute, err)
	}
	s := &Store{
		path:    absolute,
		file:    file,
		db:      sql.OpenDB(connector),
		now:     now,
		swapped: make(chan struct{}),
	}
	if err := s.prepare(ctx); err != nil {
		_ = s.db.Close() // the other error matters
		return nil, err
	}
	return s, nil
}

// dsn returns the URI of the file with the settings of each connection. The mode rw
// makes sure that a new connection never creates the file again after it was removed.
func dsn(path string) string {
	return uri(path, url.Values{
		"mode":          {"rw"},
		"_txlock":       {"immediate"},
		"_busy_timeout": {fmt.Sprint(busyTimeout.Milliseconds())},
		"_synchronous":  {"FULL"},
		"_pragma":       {"secure_delete(ON)"},
	})
}

func uri(path string, settings url.Values) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") { // Windows: a drive letter
		path = "/" + path
	}
	return "file://" + (&url.URL{Path: path}).EscapedPath() + "?" + settings.Encode()
}

// prepareFile creates an empty file at path, if there is none, and checks that the
// file can be a store. It does not open an existing file, because closing it would
// release the locks of another Store in this process.
func prepareFile(path string) (fs.FileInfo, error) {
	if err := fileaccess.CheckLink(path); err != nil {
		return nil, fmt.Errorf("store %s: %v", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("store %s: create its folder: %v%s", path, err, hintForSystem(err))
	}
	if err := checkFilesystem(filepath.Dir(path), writing); err != nil {
		return nil, fmt.Errorf("store %s: %v", path, err)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createFile(path); err != nil {
			return nil, fmt.Errorf("store %s: create the file: %v%s", path, err, hintForSystem(err))
		}
		info, err = os.Stat(path)
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: %v%s", path, err, hintForSystem(err))
	}
	if err := checkInfo(path, info, writing); err != nil {
		return nil, fmt.Errorf("store %s: %v", path, err)
	}
	return info, nil
}

// createFile creates an empty file of mode 0600, unless another process has created
// one. SQLite gives its log and index the same mode, and makes the name durable
// together with that of the log.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// purpose is what a store is opened for.
type purpose bool

const (
	reading purpose = false
	writing purpose = true
)

// checkInfo returns an error if the file cannot be a store.
func checkInfo(path string, info fs.FileInfo, p purpose) error {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return errors.New("is a folder: name a file in it")
	case !mode.IsRegular():
		return errors.New("is not a regular file")
	case info.Size() > 0 && info.Size() < minPageSize:
		return errors.New("is not a SQLite database: name another file")
	case p == writing && mode.Perm()&0o220 == 0:
		return fmt.Errorf("mode %04o does not let its owner write: chmod 600 it", mode.Perm())
	}
	return fileaccess.Check(path, info)
}

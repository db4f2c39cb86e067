package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/jwksctl/jwksctl/pkg/fileaccess"
)

// writeTimeout is how long a write to a pipe may wait for its reader.
const writeTimeout = 5 * time.Second

// file is the file at a path.
type file struct {
	path    string
	timeout time.Duration // of a write
	opened  *os.File      // nil while none is open
	info    fs.FileInfo
}

// open opens the file at the path in place of the one that is open. partial tells that its
// last line has no end.
func (f *file) open() (partial bool, err error) {
	if err := fileaccess.CheckLink(f.path); err != nil {
		return false, err
	}
	opened, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|nonBlocking, 0o600)
	if err != nil {
		return false, err
	}
	info, err := opened.Stat()
	if err == nil && (info.Mode().IsRegular() || info.Mode().Type() == fs.ModeNamedPipe) {
		err = fileaccess.Check(f.path, info)
		if err != nil {
			err = fmt.Errorf("%s: %w", f.path, err)
		}
	}
	if err != nil {
		return false, errors.Join(err, opened.Close())
	}
	if f.opened != nil {
		_ = f.opened.Close() // each line was one write
	}
	f.opened, f.info = opened, info
	return info.Mode().IsRegular() && endsWithin(f.path), nil
}

// endsWithin tells whether a file ends with a part of a line, and stays so. Otherwise
// another process is writing a line, of which the size of the file shows a part.
func endsWithin(path string) bool {
	const aWrite = 10 * time.Millisecond // far longer than it takes
	within, size := lastByte(path)
	if !within {
		return false
	}
	<-time.After(aWrite)
	still, now := lastByte(path)
	return still && now == size
}

// lastByte tells whether the last byte of a file is within a line, and the size of the
// file. A file that cannot be read counts as empty.
func lastByte(path string) (within bool, size int64) {
	opened, err := os.Open(path)
	if err != nil {
		return false, 0
	}
	defer opened.Close() //nolint:errcheck // only read
	info, err := opened.Stat()
	if err != nil || info.Size() == 0 {
		return false, 0
	}
	last := make([]byte, 1)
	_, err = opened.ReadAt(last, info.Size()-1)
	return err == nil && last[0] != '\n', info.Size()
}

// isCurrent tells whether the file that is open is the one at the path.
func (f *file) isCurrent() bool {
	if f.opened == nil {
		return false
	}
	info, err := os.Stat(f.path)
	return err == nil && os.SameFile(info, f.info)
}

// limitTime limits the time of the next write, if it may have to wait for a reader.
func (f *file) limitTime() {
	_ = f.opened.SetWriteDeadline(time.Now().Add(f.timeout)) // a regular file has no deadline
}

func (f *file) close() error {
	if f.opened == nil {
		return nil
	}
	err := f.opened.Close()
	f.opened = nil
	return err
}

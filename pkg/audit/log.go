package audit

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"sync/atomic"
	"time"
)

// ErrUnavailable says that the log is required and a line could not be written.
var ErrUnavailable = errors.New("the audit log cannot be written")

// Log is an audit log. A nil Log is none: it writes nothing, and nothing fails. The
// exported fields may be changed before the first use.
type Log struct {
	Optional bool             // no line is required: Write never fails
	Now      func() time.Time // nil means time.Now
	Logger   *slog.Logger     // is told when writing begins to fail and when it has recovered; nil is not told

	token *regexp.Regexp

	writing chan struct{} // has an element while a goroutine uses the next three
	file    *file         // nil if out is not a file that Open opened
	out     io.Writer     // nil while the file is not open
	partial bool          // the log ends with a part of a line

	failing  atomic.Pointer[error] // of the newest write; nil if it succeeded
	failures atomic.Uint64
}

// lockTimeout is how long a line waits for the line before it. It is far longer than a
// write takes, and short, so that requests do not gather behind a disk or a reader that
// hangs.
const lockTimeout = time.Second

// New returns a log that writes to w, each line with one call. It is required.
func New(w io.Writer) *Log {
	return &Log{out: w, token: tokenPattern(), writing: make(chan struct{}, 1)}
}

// Open opens the log at path, and creates the file if there is none. The log is required.
// If it cannot be opened, Open returns it together with the error: each Write tries again.
func Open(path string) (*Log, error) {
	l := New(nil)
	l.file = &file{path: path, timeout: writeTimeout}
	return l, l.Reopen()
}

// Required tells whether nothing may be done unless its line is written.
func (l *Log) Required() bool { return l != nil && !l.Optional }

// Write writes the event as one line. An event without a time happens now. The error
// wraps ErrUnavailable, and is nil if the log is not required.
func (l *Log) Write(e Event) error {
	if l == nil {
		return nil
	}
	if e.Time.IsZero() {
		e.Time = l.now()
	}
	line, err := l.line(e)
	if err == nil {
		err = l.locked(func() error { return l.append(line) })
	}
	l.note(err)
	if err == nil || l.Optional {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// Reopen opens the file at the path again, after it was rotated. If that fails, the log
// stays as it is. A log that is not a file has nothing to reopen.
func (l *Log) Reopen() error {
	if l == nil || l.file == nil {
		return nil
	}
	return l.locked(l.reopen)
}

// Close closes the file.
func (l *Log) Close() error {
	if l == nil || l.file == nil {
		return nil
	}
	return l.locked(func() error {
		l.out = nil
		return l.file.close()
	})
}

// Err is why the newest line could not be written; nil if it was.
func (l *Log) Err() error {
	if l == nil {
		return nil
	}
	if failing := l.failing.Load(); failing != nil {
		return *failing
	}
	return nil
}

// Failures is how many lines could not be written.
func (l *Log) Failures() uint64 {
	if l == nil {
		return 0
	}
	return l.failures.Load()
}

func (l *Log) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

// locked calls use while no other goroutine uses the log, or fails after lockTimeout.
func (l *Log) locked(use func() error) error {
	timeout := time.NewTimer(lockTimeout)
	defer timeout.Stop()
	select {
	case l.writing <- struct{}{}:
	case <-timeout.C:
		return fmt.Errorf("another line has waited to be written for %v", lockTimeout)
	}
	defer func() { <-l.writing }()
	return use()
}

// append writes a line to where the path leads now. Its caller is locked.
func (l *Log) append(line []byte) error {
	if l.file != nil && !l.file.isCurrent() {
		if err := l.reopen(); err != nil {
			return err
		}
	}
	if l.partial {
		line = append([]byte{'\n'}, line...)
	}
	if l.file != nil {
		l.file.limitTime()
	}
	n, err := l.out.Write(line)
	switch {
	case err == nil:
		l.partial = false
	case n > 0: // it is not taken back, because another process may have appended a line since
		l.partial = line[n-1] != '\n'
	}
	return err
}

func (l *Log) reopen() error {
	partial, err := l.file.open()
	if err != nil {
		return err
	}
	l.out, l.partial = l.file.opened, partial
	return nil
}

// note keeps the outcome of a write, and logs the first of several failures.
func (l *Log) note(err error) {
	var failing *error
	if err != nil {
		failing = &err
		l.failures.Add(1)
	}
	before := l.failing.Swap(failing)
	switch {
	case l.Logger == nil:
	case failing != nil && before == nil:
		l.Logger.Error("the audit log cannot be written", "error", err.Error())
	case failing == nil && before != nil:
		l.Logger.Info("the audit log can be written again", "missing_lines", l.failures.Load())
	}
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// readyFile is the path of the file that tells where a server answers: its URL
// and a newline. "" is no file.
type readyFile string

// check refuses a path where the file cannot be written, or where there is
// something else that must not be lost.
func (f readyFile) check() error {
	if f == "" {
		return nil
	}
	switch info, err := os.Lstat(string(f)); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return badUsage("ready_file: %v", err)
	case !info.Mode().IsRegular():
		return badUsage("ready_file: %s is not a regular file", f)
	default:
		if text, err := os.ReadFile(string(f)); err != nil || (len(text) > 0 && !isReadyText(string(text))) {
			return badUsage("ready_file: %s exists and no server has written it; name another, or move it away", f)
		}
	}
	trial, err := f.temporary()
	if err != nil {
		return badUsage("ready_file: %v", err)
	}
	_ = trial.Close() // empty
	if err := os.Remove(trial.Name()); err != nil {
		return badUsage("ready_file: %v", err)
	}
	return nil
}

func isReadyText(text string) bool {
	url, newline := strings.CutSuffix(text, "\n")
	return newline && isURL(url) && !strings.ContainsAny(url, " \n")
}

func (f readyFile) temporary() (*os.File, error) {
	return os.CreateTemp(filepath.Dir(string(f)), filepath.Base(string(f))+".*")
}

// clear takes away what a server that was killed left behind.
func (f readyFile) clear() error {
	if f == "" {
		return nil
	}
	if err := os.Remove(string(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return badUsage("ready_file: %v", err)
	}
	return nil
}

// announce writes the file. It appears whole or not at all, so that whoever waits
// for it can read it at once.
func (f readyFile) announce(url string) error {
	if f == "" {
		return nil
	}
	t, err := f.temporary()
	if err != nil {
		return fmt.Errorf("ready_file: %w", err)
	}
	_, err = t.WriteString(url + "\n")
	if err := errors.Join(err, t.Chmod(0o644), t.Close(), os.Rename(t.Name(), string(f))); err != nil {
		_ = os.Remove(t.Name())
		return fmt.Errorf("ready_file: %w", err)
	}
	return nil
}

// withdraw takes the file away, which would name a server that is gone. One that
// names another server, or is something else by now, stays.
func (f readyFile) withdraw(url string) {
	if f == "" {
		return
	}
	if text, err := os.ReadFile(string(f)); err == nil && string(text) == url+"\n" {
		_ = os.Remove(string(f)) // whoever reads it finds nobody there
	}
}

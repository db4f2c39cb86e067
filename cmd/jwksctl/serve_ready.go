package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/jwksctl/jwksctl/pkg/atomicfile"
	"github.com/jwksctl/jwksctl/pkg/config"
)

// readyFile is the path of a file that says that the server answers: its content is
// the server's URL, or unix: and the path of its socket, and a newline. The empty path is
// no file.
type readyFile string

// check refuses a path where the file cannot be written, or where another file would
// be lost.
func (f readyFile) check() error {
	if f == "" {
		return nil
	}
	switch info, err := os.Lstat(string(f)); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return badUsage("ready_file: %v", err)
	case !info.Mode().IsRegular():
		return badUsage("ready_file: %s is not a regular file: name another path", f)
	default:
		if text, err := os.ReadFile(string(f)); err != nil || (len(text) > 0 && !isReadyText(string(text))) {
			return badUsage("ready_file: %s exists and was not written by a server; name another file, or move it away", f)
		}
	}
	if err := atomicfile.CheckFolder(string(f)); err != nil {
		return badUsage("ready_file: %v", err)
	}
	return nil
}

func isReadyText(text string) bool {
	url, newline := strings.CutSuffix(text, "\n")
	return newline && (isURL(url) || strings.HasPrefix(url, config.UnixPrefix)) && !strings.ContainsAny(url, " \n")
}

// removeOld removes the file of a server that was killed.
func (f readyFile) removeOld() error {
	if f == "" {
		return nil
	}
	if err := os.Remove(string(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return badUsage("ready_file: %v", err)
	}
	return nil
}

// write writes the file. A process that waits for it never reads a part of it.
func (f readyFile) write(url string) error {
	if f == "" {
		return nil
	}
	if err := atomicfile.Replace(string(f), []byte(url+"\n"), 0o644); err != nil {
		return fmt.Errorf("ready_file: %w", err)
	}
	return nil
}

// remove removes the file at the end, unless its content has been changed since, such
// as by another server.
func (f readyFile) remove(url string) {
	if f == "" {
		return
	}
	if text, err := os.ReadFile(string(f)); err == nil && string(text) == url+"\n" {
		_ = os.Remove(string(f)) // the process ends; a file that stays names a server that does not answer
	}
}

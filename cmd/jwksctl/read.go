package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// read reads a file of text, or standard input for "-", of at most 1 MiB. It removes a
// byte order mark, with which some editors begin a file.
func (a *app) read(path string) ([]byte, error) {
	if path != "-" {
		return readFile(path)
	}
	if err := a.takeStdin(); err != nil {
		return nil, err
	}
	return readText(a.stdin, path)
}

// readFile is read for a file only.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return readText(f, path)
}

func readText(in io.Reader, path string) ([]byte, error) {
	const limit = 1 << 20
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > limit:
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	case isUTF16(data):
		return nil, fmt.Errorf("%s is UTF-16, not UTF-8: convert it, with iconv -f UTF-16 -t UTF-8", path)
	}
	return bytes.TrimPrefix(data, []byte("\ufeff")), nil
}

// isUTF16 reports whether a text is UTF-16, as PowerShell writes files: it begins with
// its byte order mark, or with an ASCII character in two bytes.
func isUTF16(data []byte) bool {
	if len(data) < 2 {
		return false
	}
	mark := string(data[:2])
	return mark == "\xff\xfe" || mark == "\xfe\xff" || (data[0] == 0) != (data[1] == 0)
}

// takeStdin reserves standard input for one input.
func (a *app) takeStdin() error {
	if a.stdinRead {
		return errors.New("standard input is used twice: it can be one input only")
	}
	a.stdinRead = true
	return nil
}

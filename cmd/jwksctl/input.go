package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/config"
)

// tokenInput reads the token that a command was given: as an argument, in @FILE, or on
// standard input. It removes a trailing newline and a leading "Bearer ", because tokens
// from files and headers have them.
func (a *app) tokenInput(args []string) (string, error) {
	source := "-"
	switch {
	case len(args) == 1:
		source = args[0]
	case a.terminal(a.stdin):
		return "", badUsage("no token: give it as an argument, in @FILE, or on standard input")
	}
	text := source
	path, file := strings.CutPrefix(source, "@")
	if file || source == "-" {
		data, err := a.read(path)
		if err != nil {
			return "", usageError{err}
		}
		text = string(data)
	}
	if text = bareToken(text); text == "" {
		return "", badUsage("the token is empty")
	}
	return text, nil
}

// bareToken removes white space and a leading "Bearer ".
func bareToken(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > 7 && strings.EqualFold(text[:7], "Bearer ") {
		text = strings.TrimSpace(text[7:])
	}
	return text
}

// interruptibleReader ends a read when its context ends. Standard input may never bring
// anything, and an interrupt must end such a command too.
type interruptibleReader struct {
	ctx context.Context
	io.Reader
}

func (r *interruptibleReader) Read(b []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	buffer := make([]byte, len(b)) // a read that goes on after the interrupt must not write into b
	done := make(chan result, 1)
	go func() {
		n, err := r.Reader.Read(buffer)
		done <- result{n, err}
	}()
	select {
	case <-r.ctx.Done():
		return 0, context.Cause(r.ctx)
	case got := <-done:
		return copy(b, buffer[:got.n]), got.err
	}
}

// parseTime reads RFC 3339, Unix seconds, or a time relative to now: now,
// now+30m, +30m, -1d.
func parseTime(text string, now time.Time) (time.Time, error) {
	wrong := fmt.Errorf("%q is not a time: use RFC 3339 (2026-01-02T15:04:05Z), Unix seconds, or now+30m, -1d", text)
	if text == "" {
		return time.Time{}, errors.New("the time is empty")
	}
	relative := strings.TrimPrefix(text, "now")
	if relative == "" {
		return now, nil
	}
	if sign := relative[0]; sign == '+' || sign == '-' {
		d, err := config.ParseDuration(relative[1:])
		if err != nil || d < 0 {
			return time.Time{}, wrong
		}
		if sign == '-' {
			d = -d
		}
		return now.Add(d), nil
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		t := time.Unix(seconds, 0)
		if year := t.UTC().Year(); t.Unix() != seconds || year < 0 || year > 9999 { // RFC 3339 has no others
			return time.Time{}, wrong
		}
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, wrong
	}
	return t, nil
}

// roughly writes a duration in its two largest units.
func roughly(d time.Duration) string {
	if d < 0 {
		return "-" + roughly(d.Abs())
	}
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	var parts []string
	d = d.Round(time.Second)
	for _, u := range units {
		if n := d / u.size; n > 0 || (len(parts) == 0 && u.size == time.Second) {
			parts = append(parts, fmt.Sprintf("%d%s", n, u.name))
			d -= n * u.size
		} else if len(parts) > 0 {
			break
		}
		if len(parts) == 2 {
			break
		}
	}
	return strings.Join(parts, "")
}

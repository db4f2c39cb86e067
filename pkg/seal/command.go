package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	// commandTimeout is how long a command may take to print the keys. A server may wait
	// for it while it starts, and a request to a KMS takes less than a second.
	commandTimeout = 10 * time.Second

	// pipeTimeout is how long a command that was killed is waited for, if a process that
	// it started still has its output open.
	pipeTimeout = time.Second

	// reloadPause is the time between two calls of a command by a process that runs. A
	// command may use a service that is limited or paid by request.
	reloadPause = 10 * time.Second

	stderrMax = 4 << 10 // bytes that are logged
)

// splitCommand splits a command line into words. They are separated by spaces. Single or
// double quotes make one word of what is between them. Nothing else has a meaning: there is
// no shell, so that no variable, wildcard or semicolon in a setting does anything.
func splitCommand(line string) (words []string, err error) {
	var word strings.Builder
	quote, inWord := rune(0), false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, inWord = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	switch {
	case quote != 0:
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	case len(words) == 0 || words[0] == "":
		return nil, errors.New("there is no command")
	}
	return words, nil
}

// output runs the command and returns its standard output. What it writes to standard
// error is logged if it fails, once if it is always the same. The error contains nothing that the command printed.
func (s Source) output(ctx context.Context, e Environment, timeout time.Duration) ([]byte, error) {
	words, err := splitCommand(s.value)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stdout, stderr := firstBytes{max: textMax + 1}, firstBytes{max: stderrMax} // one byte more than parse accepts
	cmd := exec.CommandContext(limited, words[0], words[1:]...)                //nolint:gosec // the operator names the program
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = withoutOurs(e.Environ), &stdout, &stderr, pipeTimeout
	killGroup(cmd)
	if err = cmd.Run(); err == nil {
		e.logged.set("")
		return stdout.Bytes(), nil
	}
	if text := withoutKeys(stderr.String()); e.Log != nil && text != "" && e.logged.set(text) {
		e.Log.WarnContext(ctx, "the command that prints the sealing key failed", "stderr", text)
	}
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", ErrCommand, ctx.Err())
	case limited.Err() != nil:
		return nil, fmt.Errorf("%w: it took longer than %v", ErrCommand, timeout)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, exec.ErrDot), cmd.Process == nil:
		return nil, fmt.Errorf("the command cannot be started: %w", err)
	}
	return nil, fmt.Errorf("%w: %w", ErrCommand, err)
}

// withoutOurs takes away the variables that are for this process alone: its settings, which
// may have the password of the store, and what systemd gives to a service.
func withoutOurs(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		return strings.HasPrefix(pair, "JWKSCTL_") || strings.HasPrefix(pair, "NOTIFY_SOCKET=") || strings.HasPrefix(pair, "LISTEN_")
	})
}

// lastText is the text that was logged last. A nil one has logged nothing.
type lastText struct{ text string }

// set reports whether the text is another one than before.
func (l *lastText) set(text string) (changed bool) {
	if l == nil {
		return true
	}
	changed = l.text != text
	l.text = text
	return changed
}

// withoutKeys takes sealing keys out of what a command wrote to standard error, as a shell
// script does with set -x.
func withoutKeys(text string) string {
	return regexp.MustCompile(lineLabel+`\S*(\s+\S+)?`).ReplaceAllString(strings.TrimSpace(text), redacted)
}

// firstBytes keeps the first bytes that are written to it and drops the rest, so that a
// command that writes much does not fail.
type firstBytes struct {
	bytes.Buffer
	max int
}

func (b *firstBytes) Write(p []byte) (int, error) {
	_, _ = b.Buffer.Write(p[:min(len(p), b.max-b.Len())]) // it never fails
	return len(p), nil
}

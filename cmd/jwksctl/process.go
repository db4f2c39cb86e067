package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// process is all that a command uses of the process that it runs in.
type process struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	stateFolder    string            // where the default store is; empty if there is no home directory
	user           string            // of the operating system
	unsetenv       func(name string) // takes a variable away from child processes
	now            func() time.Time
	terminal       func(stream any) bool // whether a stream is a terminal
	width          func(stream any) int  // columns of a terminal, 0 if unknown
	noColor        bool                  // --no-color
}

func (p *process) getenv(name string) string {
	for _, pair := range slices.Backward(p.environ) {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// printMessage writes a line for people to standard error.
func (p *process) printMessage(format string, args ...any) {
	_, _ = fmt.Fprintf(p.stderr, format+"\n", args...) // an error cannot be reported anywhere else
}

// print writes a result. If that fails, the whole command has failed: see resultWriter.
func (p *process) print(format string, args ...any) {
	_, _ = fmt.Fprintf(p.stdout, format, args...)
}

// printJSON writes a value as indented JSON.
func (p *process) printJSON(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// resultWriter is standard output. It keeps the first error, so that writers need not
// check for one.
type resultWriter struct {
	io.Writer
	err error
}

func (w *resultWriter) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// table writes rows: aligned under a heading on a terminal, and when piped as lines
// with tabs between the cells, for cut and awk.
func (p *process) table(heading []string, rows [][]string) {
	if !p.terminal(p.stdout) {
		for _, row := range rows {
			p.print("%s\n", strings.Join(row, "\t"))
		}
		return
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{heading}, rows...) {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
}

// paint puts text in a colour if the stream is a terminal that shows colours and the
// user has not turned them off: see https://no-color.org.
func (p *process) paint(stream io.Writer, code, text string) string {
	if p.noColor || p.getenv("NO_COLOR") != "" || p.getenv("TERM") == "dumb" || !p.terminal(stream) {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	bold   = "1"
	faint  = "2"
)

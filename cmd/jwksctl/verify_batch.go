package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jwksctl/jwksctl/pkg/token"
)

// A batch is a pipeline of a fixed number of chunks, so that its memory does not
// depend on its input:
//
//	read ──┬─▶ jobs ────▶ verify, one worker a processor ──▶ chunk.done
//	 ▲     └─▶ ordered ─▶ run waits for done and writes ──┐
//	 └─────────────────── free ◀──────────────────────────┘
type batch struct {
	verifier token.Verifier
	source   *keySource
	json     bool
	out      io.Writer // nil to print no verdict

	progress func(counts) // called on each tick, if ticks is not nil
	ticks    <-chan time.Time
}

// counts are numbers of tokens.
type counts struct{ verified, rejected int } // verified includes the rejected ones

func (c *counts) add(more counts) {
	c.verified += more.verified
	c.rejected += more.rejected
}

// batchRejection says that tokens of a batch were rejected.
type batchRejection struct{ counts }

func (b *batchRejection) Error() string {
	return fmt.Sprintf("rejected: %d of %d tokens", b.rejected, b.verified)
}

const (
	// maxLine is the length of the longest token that is verified, and of "Bearer ". Of a
	// longer line only the beginning is kept.
	maxLine = token.DefaultMaxSize + 1<<10

	// chunkSize is how many bytes of tokens a chunk has at most, beside its last line.
	chunkSize = 256 << 10
)

// chunk is some lines of the input on their way through the pipeline.
type chunk struct {
	lines []line
	out   bytes.Buffer
	counts
	err      error
	panicked string        // the text of a panic, which run repeats
	done     chan struct{} // receives an element when the chunk is verified
}

type line struct {
	number  int // from 1
	text    string
	tooLong bool // and text is not all of it
}

// batchInput checks that tokens can be read from standard input.
func (a *app) batchInput(args []string) error {
	switch {
	case len(args) == 1 && args[0] != "-":
		return badUsage("--batch reads tokens from standard input: leave the argument out")
	case a.terminal(a.stdin):
		return badUsage("no tokens: --batch reads them from standard input, one on each line")
	}
	return a.takeStdin() // so that the keys cannot be read from there too
}

func (a *app) verifyBatch(ctx context.Context, o verifyOptions, v token.Verifier, source keySource) error {
	b := batch{verifier: v, source: &source, json: o.out.json, out: a.stdout}
	if o.quiet {
		b.out = nil
	}
	if a.terminal(a.stderr) && !a.terminal(a.stdout) && !o.quiet {
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		b.ticks = ticker.C
		b.progress = func(c counts) {
			_, _ = fmt.Fprintf(a.stderr, "\r%d tokens, %d rejected", c.verified, c.rejected)
		}
		defer func() { _, _ = fmt.Fprint(a.stderr, "\r"+strings.Repeat(" ", 60)+"\r") }()
	}
	total, err := b.run(ctx, a.stdin)
	switch {
	case err != nil:
		return err
	case total.verified == 0:
		return badUsage("there is no token on standard input")
	case total.rejected == 0:
		return nil
	case o.quiet:
		return silentError{&batchRejection{total}}
	}
	return &batchRejection{total}
}

// run verifies every line of in. It stops at the first token for which no keys could be
// obtained, because that token has no verdict.
func (b *batch) run(ctx context.Context, in io.Reader) (counts, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := runtime.NumCPU()
	size := 4 * workers
	free, jobs, ordered := make(chan *chunk, size), make(chan *chunk, size), make(chan *chunk, size)
	for range size {
		free <- &chunk{done: make(chan struct{}, 1)}
	}
	go readChunks(ctx, in, free, jobs, ordered)
	for range workers {
		go func() {
			for c := range jobs {
				b.verify(ctx, c)
				c.done <- struct{}{}
			}
		}()
	}
	var total counts
	for {
		select {
		case <-b.ticks:
			b.progress(total)
		case <-ctx.Done():
			return total, context.Cause(ctx)
		case c, more := <-ordered:
			if !more {
				return total, context.Cause(ctx)
			}
			verified, err := b.finish(ctx, c)
			total.add(verified)
			if err != nil {
				return total, err
			}
			free <- c // there is room for each chunk
		}
	}
}

// finish waits until a chunk is verified, and writes its verdicts.
func (b *batch) finish(ctx context.Context, c *chunk) (counts, error) {
	select {
	case <-c.done:
	case <-ctx.Done():
		return counts{}, context.Cause(ctx)
	}
	if c.panicked != "" {
		panic(c.panicked)
	}
	if b.out != nil && c.out.Len() > 0 {
		if _, err := b.out.Write(c.out.Bytes()); err != nil {
			return c.counts, fmt.Errorf("the result could not be written: %w", err)
		}
	}
	return c.counts, c.err
}

// readChunks cuts the input into chunks. It passes a chunk on when it is full, or when
// the next line has not arrived yet, so that the verdicts of a slow input are not late.
func readChunks(ctx context.Context, in io.Reader, free <-chan *chunk, jobs, ordered chan<- *chunk) {
	defer close(jobs)
	defer close(ordered)
	r := bufio.NewReaderSize(in, maxLine)
	for number := 0; ; {
		var c *chunk
		select {
		case c = <-free:
			c.reset()
		case <-ctx.Done():
			return
		}
		for size := 0; size < chunkSize && c.err == nil; {
			var l line
			l, c.err = readLine(r)
			number++
			if l.number = number; l.tooLong || l.text != "" {
				c.lines = append(c.lines, l)
				size += len(l.text)
			}
			if len(c.lines) > 0 && r.Buffered() == 0 {
				break
			}
		}
		end := c.err != nil
		if errors.Is(c.err, io.EOF) {
			c.err = nil
		} else if end {
			c.err = usageError{c.err}
		}
		jobs <- c // there is room for each chunk
		ordered <- c
		if end {
			return
		}
	}
}

func (c *chunk) reset() {
	clear(c.lines) // so that an earlier long line can be freed
	c.lines, c.counts, c.err = c.lines[:0], counts{}, nil
	c.out.Reset()
}

// readLine reads one line, without "Bearer " and white space around the token. It keeps
// the beginning of a line that is too long. With the error io.EOF there may still be a
// line.
func readLine(r *bufio.Reader) (line, error) {
	text, err := r.ReadSlice('\n')
	l := line{text: bareToken(string(text))}
	for errors.Is(err, bufio.ErrBufferFull) {
		l.tooLong = true
		_, err = r.ReadSlice('\n')
	}
	return l, err
}

// verify verifies the lines of a chunk, up to the first for which no keys can be obtained.
func (b *batch) verify(ctx context.Context, c *chunk) {
	defer func() {
		if cause := recover(); cause != nil {
			c.panicked = fmt.Sprintf("%v\n%s", cause, debug.Stack())
		}
	}()
	for _, l := range c.lines {
		result, err := b.verifyLine(ctx, l)
		if _, rejected := errors.AsType[*token.Refusal](err); rejected {
			c.rejected++
		} else if err != nil {
			c.err = fmt.Errorf("line %d: %w", l.number, err)
			return
		}
		c.verified++
		if b.out == nil {
			continue
		}
		v := b.source.verdict(result)
		v.Line = l.number
		if err := v.write(&c.out, b.json); err != nil {
			c.err = err
			return
		}
	}
}

func (b *batch) verifyLine(ctx context.Context, l line) (token.Verdict, error) {
	if !l.tooLong {
		return b.source.verify(ctx, b.verifier, l.text)
	}
	refusal := &token.Refusal{
		Reason:  token.ReasonTooLarge,
		Message: fmt.Sprintf("the line has more than %d bytes, the limit of a token is %d", maxLine, token.DefaultMaxSize),
		Hint:    "keep large data outside of the token",
	}
	return token.Verdict{Reason: refusal.Reason, Errors: []*token.Refusal{refusal}}, refusal
}

// write writes a verdict on one line: as JSON, or as the columns LINE, VERDICT, KID
// and MESSAGE.
func (v verdict) write(to *bytes.Buffer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(to)
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	reason, kid, message := "valid", "-", "-"
	if !v.Valid {
		reason, message = string(v.Reason), printable(v.Errors[0].Error())
	}
	if v.KeyID != "" {
		kid = printable(v.KeyID)
	}
	to.WriteString(strconv.Itoa(v.Line))
	for _, cell := range []string{reason, kid, message} {
		to.WriteByte('\t')
		to.WriteString(cell)
	}
	return to.WriteByte('\n')
}

// printable quotes text of others if it would break a cell of a table.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return (r < ' ' || r > '~') && !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

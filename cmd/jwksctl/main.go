// Command jwksctl owns the life of JWT signing keys: it makes them, publishes
// them as a JWK Set, signs tokens, rotates and revokes, and verifies.
//
// One file holds one command: its flags, its help and what it does. Results go
// to standard output and everything else to standard error; exit.go has the
// exit codes. This is the only package that knows all the others, and the only
// place where settings become the options of a package.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() {
	ctx, stop := interruptible()
	code := execute(ctx, system(), os.Args[1:])
	stop()
	os.Exit(code)
}

// interrupted is why a context ended, if a signal ended it.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string { return "interrupted by " + i.signal.String() }

// interruptible ends the context on the first SIGINT or SIGTERM. A second one
// meets the default action and ends the process.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(interrupted{s})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(errors.New("done")) }
}

// system is the process as the operating system made it.
func system() *process {
	return &process{
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		environ: os.Environ(),
		now:     time.Now,
		terminal: func(stream any) bool {
			f, ok := stream.(*os.File)
			return ok && term.IsTerminal(int(f.Fd()))
		},
		width: func(stream any) int {
			f, ok := stream.(*os.File)
			if !ok {
				return 0
			}
			w, _, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 0
			}
			return w
		},
	}
}

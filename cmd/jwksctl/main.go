// Command jwksctl owns the life of JWT signing keys: it makes them, publishes
// them as a JWK Set, signs tokens, rotates and revokes, and verifies.
//
// Each file is one command: its flags, its help and its code; the files of a group's
// commands begin with its name. Other files are named after what the commands share:
// places.go says where a keyset is, open.go opens it, exit.go has the exit codes.
// Results go to standard output and everything else to standard error.
//
// This is the only package that imports all the others, and the only place where
// settings become the options of a package.
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
	ctx, stop := cancelOnSignal()
	code := execute(ctx, system(), os.Args[1:])
	stop()
	os.Exit(code)
}

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string { return "interrupted by " + i.signal.String() }

// cancelOnSignal returns a context that ends with the first SIGINT or SIGTERM. A
// second signal ends the process, as is its default.
func cancelOnSignal() (context.Context, context.CancelFunc) {
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

// system is the real process.
func system() *process {
	return &process{
		stdin:       os.Stdin,
		stdout:      os.Stdout,
		stderr:      os.Stderr,
		environ:     os.Environ(),
		stateFolder: stateFolder(os.Getenv),
		unsetenv:    func(name string) { _ = os.Unsetenv(name) }, // it fails for no name that a setting may have
		user:        userName(),
		now:         time.Now,
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

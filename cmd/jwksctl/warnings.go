package main

import (
	"context"
	"log/slog"
	"sync"
)

// warnings is the log of the commands that print results. It prints warnings as lines
// for people, each once, and nothing else.
type warnings struct {
	slog.Handler // its methods that derive a handler are not used
	print        func(text string)
	printed      *sync.Map
}

func (a *app) warnings() *slog.Logger {
	return slog.New(warnings{slog.DiscardHandler, func(text string) {
		a.printMessage("%s %s", a.paint(a.stderr, yellow, "warning:"), text)
	}, new(sync.Map)})
}

func (w warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (w warnings) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += ": " + a.Value.String()
		return true
	})
	if _, again := w.printed.LoadOrStore(text, true); !again {
		w.print(text)
	}
	return nil
}

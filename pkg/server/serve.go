package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"golang.org/x/net/netutil"
)

// How long each phase of a connection may take and how much a client may send. They
// bound the time for which a slow client holds a connection.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 15 * time.Second // header and body
	writeTimeout   = 30 * time.Second // from the end of the header to the end of the answer
	idleTimeout    = 60 * time.Second
	maxHeaderBytes = 32 << 10
	maxStreams     = 100 // HTTP/2, each connection
)

// Serve answers on l until ctx is done, and closes l. Then /readyz answers 503.
// Connections are still accepted for DrainDelay, and as long as a request that came
// before is in flight, so that load balancers see the 503. Requests may finish for
// DrainTimeout after the delay. Serve returns nil if ctx ended it, and an error
// otherwise.
//
// A connection beyond MaxConnections waits in the system's backlog until another one
// ends. An idle one ends after idleTimeout, a slow one after the time of its phase.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		TLSConfig:         s.o.TLS,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(s.o.Log.Handler(), slog.LevelWarn),
	}
	limited := netutil.LimitListener(l, s.o.MaxConnections)
	ended := make(chan error, 1)
	go func() {
		if s.o.TLS != nil {
			ended <- srv.ServeTLS(limited, "", "")
		} else {
			ended <- srv.Serve(limited)
		}
	}()
	select {
	case err := <-ended:
		return errors.Join(err, srv.Close())
	case <-ctx.Done():
	}
	s.drain(srv)
	<-ended //nolint:errcheck // it is http.ErrServerClosed
	return nil
}

func (s *Server) drain(srv *http.Server) {
	s.draining.Store(true)
	if s.o.DrainDelay > 0 {
		<-time.After(s.o.DrainDelay)
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.o.DrainTimeout)
	defer cancel()
	_ = s.inFlight.Acquire(ctx, maxInFlight) // when no request is in flight, or ctx ends
	if err := srv.Shutdown(ctx); err != nil {
		s.o.Log.WarnContext(ctx, "requests cut off because they did not finish in time", "drain_timeout", s.o.DrainTimeout)
		_ = srv.Close() // its error is about the listener, which is closed already
	}
}

// PprofHandler serves the profiles of net/http/pprof under /debug/pprof/. Use it on a
// separate listener that only the operator can reach.
func PprofHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

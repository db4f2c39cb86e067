package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// The time that each phase of a connection may take, so that a slow client
// holds one of our connections for a bounded time, and what it may send.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 15 * time.Second // header and body
	writeTimeout   = 30 * time.Second // from the end of the header to the end of the answer
	idleTimeout    = 60 * time.Second
	maxHeaderBytes = 32 << 10
	maxStreams     = 100 // HTTP/2, each connection
)

// Serve answers on l until ctx is done. Then /readyz turns red. Connections are
// still accepted for DrainDelay and while a request that came before is in
// flight, so that whoever asks sees the red; then no more. Requests may finish for
// DrainTimeout after the delay. It returns nil; any other end is an error. It
// closes l.
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
	limited := newLimitListener(l, s.o.MaxConnections, &s.full)
	srv.ConnState = limited.state
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
	<-ended //nolint:errcheck // it says that the server was closed, as it was told to
	return nil
}

func (s *Server) drain(srv *http.Server) {
	s.draining.Store(true)
	if s.o.DrainDelay > 0 {
		<-time.After(s.o.DrainDelay)
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.o.DrainTimeout)
	defer cancel()
	s.inFlight.wait(ctx)
	if err := srv.Shutdown(ctx); err != nil {
		s.o.Log.WarnContext(ctx, "some requests did not finish in time and were cut off", "drain_timeout", s.o.DrainTimeout)
		_ = srv.Close() // what it reports is the listener, which is closed already
	}
}

// PprofHandler serves the profiles of net/http/pprof under /debug/pprof/. It is
// for a listener of its own that only the operator reaches.
func PprofHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

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
// bound the time for which a slow client keeps a connection open.
const (
	headerTimeout  = 3 * time.Second
	readTimeout    = 15 * time.Second // header and body
	writeTimeout   = 30 * time.Second // from the end of the header to the end of the answer
	idleTimeout    = 60 * time.Second
	maxHeaderBytes = 32 << 10
	maxStreams     = 16 // of HTTP/2, on each connection: each may hold a body
)

// Serve accepts connections on l and answers their requests until ctx is done. Then it
// drains: /readyz answers 503, and for DrainDelay the server continues to accept
// connections, so that load balancers see the 503. After DrainDelay, it waits until no
// request that arrived before the drain is in flight, closes l, and waits for the
// remaining requests. It cuts off requests that are not finished DrainTimeout after
// DrainDelay. Serve returns nil after a drain, and an error if l fails.
//
// Idle connections count toward MaxConnections. A connection beyond that waits in the
// system's backlog until another one ends. An idle connection is closed after idleTimeout,
// a slow one after the time limit of its phase. If connections without a complete request
// take more than half of MaxConnections, the oldest of them is closed. While there are
// MaxConnections, those that have been idle for a second are closed. If one address, other
// than a proxy of BehindProxy, opens more than half of MaxConnections, one of its idle
// connections is closed, or the new one.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:                      s.Handler(),
		TLSConfig:                    s.o.TLS,
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		DisableGeneralOptionsHandler: true, // so that OPTIONS * is answered by Handler too
		MaxHeaderBytes:               maxHeaderBytes,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ConnState:                    s.connections.setState,
		ConnContext:                  withConnection,
		ErrorLog:                     slog.NewLogLogger(s.o.Log.Handler(), slog.LevelWarn),
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
	tick := time.NewTicker(minIdle)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case err := <-ended:
			return errors.Join(err, srv.Close())
		case <-tick.C:
			s.connections.tick()
		case <-ctx.Done():
		}
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
	_ = s.inFlight.Acquire(ctx, maxInFlight) // returns when no request is in flight or ctx ends
	if err := srv.Shutdown(ctx); err != nil {
		s.o.Log.WarnContext(ctx, "requests were cut off because they did not finish in time", "drain_timeout", s.o.DrainTimeout)
		_ = srv.Close() // its error is about the listener, which is closed already
	}
}

// PprofHandler serves the profiles of net/http/pprof under /debug/pprof/. Use it on a
// separate listener that only the operator can reach. On a loopback address, it refuses
// a Host that is not a loopback name or address.
func PprofHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isLocal(r) && !isLoopback(hostname(r.Host)) {
			http.Error(w, misdirected("localhost or a loopback address").detail, http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

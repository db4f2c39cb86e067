package storetest_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

// remote is a small engine with a server, for the tests of the suite itself. A request and
// a response are JSON with its length in four bytes before it. Each request has a
// connection of its own, apart from those that a client keeps while it is idle.
type remote struct {
	address string
	bugs    bugs

	mu   sync.Mutex
	idle []net.Conn
}

// bugs are what a broken engine does.
type bugs struct {
	retriesSwap     bool // sends a Swap again if the connection is lost
	ignoresErrors   bool // takes a lost connection as success of a Swap
	emptyOnError    bool // takes a lost connection as an empty store
	neverReconnects bool
	ignoresContext  bool
	twoSteps        bool // sends the private keys before the document
	ignoresDeadline bool
	oldOnError      bool // answers from a cache if the connection is lost
	tightLoop       bool // connects without a pause
}

type request struct {
	Method  string
	Kid     string
	Version uint64
	Change  keys.Change
}

type response struct {
	Record keys.Record
	Key    []byte
	Kids   []string
	Err    string
}

// remoteErrors are the errors that a server names in its response.
var remoteErrors = []error{keys.ErrNoKeyset, keys.ErrNoPrivateKey, keys.ErrConflict, keys.ErrTooLate}

func remoteFraming() (fromClient, fromServer bufio.SplitFunc) {
	split := func(data []byte, _ bool) (int, []byte, error) {
		if len(data) < 4 {
			return 0, nil, nil
		}
		n := int(binary.BigEndian.Uint32(data)) + 4
		if len(data) < n {
			return 0, nil, nil
		}
		return n, data[:n], nil
	}
	return split, split
}

func send(conn net.Conn, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

func receive(conn net.Conn, v any) error {
	var length [4]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return err
	}
	body := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}

// startRemoteServer serves a store in memory until the end of the test.
func startRemoteServer(t *testing.T) (address string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New(time.Now)
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { serve(t.Context(), store, conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		group.Wait()
	})
	return listener.Addr().String()
}

func serve(ctx context.Context, store keys.Store, conn net.Conn) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	for {
		var req request
		if receive(conn, &req) != nil {
			return
		}
		var res response
		var err error
		switch req.Method {
		case "Load":
			res.Record, err = store.Load(ctx)
		case "PrivateKey":
			res.Key, err = store.PrivateKey(ctx, req.Kid)
		case "PrivateKeyIDs":
			res.Kids, err = store.PrivateKeyIDs(ctx)
		case "Swap":
			err = store.Swap(ctx, req.Change)
		case "Wait":
			err = store.Wait(ctx, req.Version)
		}
		if err != nil {
			res.Err = err.Error()
		}
		if send(conn, res) != nil {
			return
		}
	}
}

// call sends a request and waits for the response.
func (r *remote) call(ctx context.Context, req request) (response, error) {
	var res response
	if r.bugs.ignoresContext {
		ctx = context.WithoutCancel(ctx)
	}
	conn, err := r.connection(ctx)
	if err != nil {
		return res, r.failed(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err = send(conn, req)
	if err == nil {
		err = receive(conn, &res)
	}
	if !stop() || err != nil {
		if r.bugs.neverReconnects {
			r.release(conn)
		} else {
			_ = conn.Close()
		}
		return res, r.failed(ctx, err)
	}
	r.release(conn)
	for _, known := range remoteErrors {
		if res.Err == known.Error() {
			return res, known
		}
	}
	if res.Err != "" {
		return res, errors.New(res.Err)
	}
	return res, nil
}

func (r *remote) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.bugs.emptyOnError {
		return keys.ErrNoKeyset
	}
	return fmt.Errorf("the server cannot be reached: %v", err)
}

func (r *remote) connection(ctx context.Context) (net.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.idle); n > 0 {
		conn := r.idle[n-1]
		r.idle = r.idle[:n-1]
		return conn, nil
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", r.address)
}

func (r *remote) release(conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idle = append(r.idle, conn)
}

// cached is a remote that has the newest record that it read.
type cached struct {
	remote
	last keys.Record
}

func (c *cached) Load(ctx context.Context) (keys.Record, error) {
	res, err := c.call(ctx, request{Method: "Load"})
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.last = res.Record
	} else if c.bugs.oldOnError && c.last.Version > 0 {
		return c.last, nil
	}
	return res.Record, err
}

func (c *cached) PrivateKey(ctx context.Context, kid string) ([]byte, error) {
	res, err := c.call(ctx, request{Method: "PrivateKey", Kid: kid})
	return res.Key, err
}

func (c *cached) PrivateKeyIDs(ctx context.Context) ([]string, error) {
	res, err := c.call(ctx, request{Method: "PrivateKeyIDs"})
	return res.Kids, err
}

func (c *cached) Swap(ctx context.Context, change keys.Change) error {
	if c.bugs.ignoresDeadline {
		change.Deadline = time.Time{}
	}
	if c.bugs.twoSteps && change.Version > 0 {
		first := change
		first.Document = c.last.Document
		if _, err := c.call(ctx, request{Method: "Swap", Change: first}); err != nil {
			return err
		}
		change.Version, change.Put, change.Delete = change.Version+1, nil, nil
	}
	req := request{Method: "Swap", Change: change}
	_, err := c.call(ctx, req)
	lost := err != nil && ctx.Err() == nil && !errors.Is(err, keys.ErrConflict) && !errors.Is(err, keys.ErrTooLate)
	if lost && c.bugs.retriesSwap {
		_, err = c.call(ctx, req)
	}
	if lost && c.bugs.ignoresErrors {
		err = nil
	}
	return err
}

func (c *cached) Wait(ctx context.Context, version uint64) error {
	for {
		_, err := c.call(ctx, request{Method: "Wait", Version: version})
		if err == nil || ctx.Err() != nil || !c.bugs.tightLoop {
			return err
		}
	}
}

func (c *cached) MinClockSkew() time.Duration { return 0 }

func (c *cached) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.idle {
		_ = conn.Close()
	}
	c.idle = nil
	return nil
}

// remoteEngine has a server for each store.
func remoteEngine(b bugs) storetest.Engine {
	return func(t *testing.T) storetest.Fixture {
		address := startRemoteServer(t)
		return storetest.Fixture{
			Open: func() keys.Store { return &cached{remote: remote{address: address}} },
			Network: &storetest.Network{
				Network: "tcp", Address: address, Framing: remoteFraming,
				Open: func(ctx context.Context, address string) (keys.Store, error) {
					s := &cached{remote: remote{address: address, bugs: b}}
					_, err := s.Load(ctx)
					if err != nil && !errors.Is(err, keys.ErrNoKeyset) {
						return nil, err
					}
					return s, nil
				},
			},
		}
	}
}

func TestFaultsOfASoundEngine(t *testing.T) { storetest.RunFaults(t, remoteEngine(bugs{})) }

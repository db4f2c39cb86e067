//go:build bench && linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is the task of a load generator. In each round it asks each target in turn,
// for one slice of time. Each connection asks again when it has its answer and the
// pause is over.
type load struct {
	Targets      []target
	Connections  int // to each target
	Rounds       int
	Slice, Pause time.Duration
}

// target is what a load generator asks for, and the status of an answer that counts.
type target struct {
	Method, URL, IfNoneMatch string
	Form                     string // the body; "" is none
	Authorization            string
	From                     string // the network of the connections' own addresses, such as 127.1.0.; "" is any address
	NewAddress               bool   // each request says, as a proxy does, that it is from another address
	Status                   int
}

// sample is what came from one target in one round.
type sample struct {
	PerSecond float64 // answers that count
	P99       time.Duration
}

// run returns the samples as [round][target].
func (l load) run(ctx context.Context) ([][]sample, error) {
	connections := make([][]*connection, len(l.Targets))
	for i, to := range l.Targets {
		for n := range l.Connections {
			c, err := to.dial(ctx, n+1)
			if err != nil {
				return nil, err
			}
			defer func() { _ = c.Close() }() // all requests have been answered
			connections[i] = append(connections[i], c)
		}
	}
	samples := make([][]sample, l.Rounds)
	for round := range samples {
		samples[round] = make([]sample, len(l.Targets))
		for turn := range l.Targets {
			i := (turn + round) % len(l.Targets) // each target is first in some rounds
			var err error
			if samples[round][i], err = l.ask(connections[i], l.Targets[i].Status); err != nil {
				return nil, fmt.Errorf("%s: %w", l.Targets[i].URL, err)
			}
		}
	}
	return samples, nil
}

// ask uses all connections to one target for one slice of time.
func (l load) ask(connections []*connection, status int) (sample, error) {
	var group errgroup.Group
	start := time.Now()
	for _, c := range connections {
		group.Go(func() error { return c.ask(start.Add(l.Slice), l.Pause, status) })
	}
	err := group.Wait()
	seconds := time.Since(start).Seconds()
	var took []time.Duration
	for _, c := range connections {
		took = append(took, c.took...)
	}
	if err != nil || len(took) == 0 {
		return sample{}, errors.Join(err, fmt.Errorf("%d answers with status %d", len(took), status))
	}
	slices.Sort(took)
	return sample{PerSecond: float64(len(took)) / seconds, P99: took[len(took)*99/100]}, nil
}

// connection sends the same request again and again. It is not the client of net/http,
// because that takes more processor time than the server does, and the comparison
// would then be of the client with itself.
type connection struct {
	net.Conn
	r       *bufio.Reader
	request []byte
	address []byte          // the part of request that differs in each; nil is none
	took    []time.Duration // in the present slice
}

// dial opens the n-th connection.
func (to target) dial(ctx context.Context, n int) (*connection, error) {
	r, err := http.NewRequestWithContext(ctx, to.Method, to.URL, strings.NewReader(to.Form))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"If-None-Match": to.IfNoneMatch, "Authorization": to.Authorization} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	if to.Form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	const network = "2001:db8:" // of which each address is 64 bits
	if to.NewAddress {
		r.Header.Set("X-Forwarded-For", network+"0000:0000::1")
	}
	var request bytes.Buffer
	if err := r.Write(&request); err != nil {
		return nil, err
	}
	var dialer net.Dialer
	if to.From != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(to.From + strconv.Itoa(n))}
	}
	conn, err := dialer.DialContext(ctx, "tcp", r.URL.Host)
	c := &connection{Conn: conn, r: bufio.NewReader(conn), request: request.Bytes()}
	if _, address, ok := bytes.Cut(c.request, []byte(network)); ok {
		c.address = address[:len("0000:0000")]
	}
	return c, err
}

// changeAddress writes another address into the request.
func (c *connection) changeAddress() {
	if n := rand.Uint32(); c.address != nil {
		copy(c.address, fmt.Sprintf("%04x:%04x", n>>16, n&0xffff))
	}
}

func (c *connection) ask(end time.Time, pause time.Duration, status int) error {
	c.took = c.took[:0]
	if err := c.SetDeadline(end.Add(5 * time.Second)); err != nil {
		return err
	}
	for time.Now().Before(end) {
		c.changeAddress()
		start := time.Now()
		if _, err := c.Write(c.request); err != nil {
			return err
		}
		response, err := http.ReadResponse(c.r, nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close() // has been read
		if err != nil {
			return err
		}
		if response.StatusCode == status {
			c.took = append(c.took, time.Since(start))
		}
		if pause > 0 {
			<-time.After(pause)
		}
	}
	return nil
}

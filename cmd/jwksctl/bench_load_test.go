//go:build bench && linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// load is what a load generator does: each connection asks again as soon as it
// was answered, or after the pause, until the time is over. Of several URLs, it asks
// one after the other, and that as often as there are rounds.
type load struct {
	URLs                []string
	Method, IfNoneMatch string
	Connections         int // to each of the URLs
	Rounds              int // 0 is one
	For, Pause          time.Duration

	on place // not sent: whoever starts the generator puts it there
}

// answers are what came of a load on one URL.
type answers struct {
	Seconds  float64
	Status   map[int]int // how many of each
	P50, P99 time.Duration
}

func (a answers) persecond(status int) float64 { return float64(a.Status[status]) / a.Seconds }

const roleVariable = "BENCH_ROLE"

// TestBenchHelper is what runs in the processes beside the servers: this test
// binary again, so that neither the load nor the bare handler shares a runtime
// with what is measured. It reads its task from standard input.
func TestBenchHelper(t *testing.T) {
	switch os.Getenv(roleVariable) {
	case "load":
		var l load
		if err := json.NewDecoder(os.Stdin).Decode(&l); err != nil {
			t.Fatal(err)
		}
		a, err := l.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
			t.Fatal(err)
		}
	case "bare":
		if err := serveBare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// helper is the command for a process with a role.
func helper(ctx context.Context, role string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestBenchHelper$")
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

// elsewhere runs the load in a process of its own.
func (l load) elsewhere(ctx context.Context) ([]answers, error) {
	task, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	cmd := helper(ctx, "load")
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout = bytes.NewReader(task), &out
	if err := startAt(l.on, cmd); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("load on %v: %w: %s", l.URLs, err, &out)
	}
	var all []answers
	return all, json.NewDecoder(&out).Decode(&all)
}

func (l load) run(ctx context.Context) ([]answers, error) {
	targets := make([]target, len(l.URLs))
	for i, to := range l.URLs {
		for range l.Connections {
			c, err := l.dial(ctx, to)
			if err != nil {
				return nil, err
			}
			defer c.close()
			targets[i].connections = append(targets[i].connections, c)
		}
	}
	for range max(1, l.Rounds) {
		for i := range targets {
			if err := targets[i].ask(l.For, l.Pause); err != nil {
				return nil, err
			}
		}
	}
	all := make([]answers, len(targets))
	for i := range targets {
		var err error
		if all[i], err = targets[i].answers(); err != nil {
			return nil, fmt.Errorf("%s: %w", l.URLs[i], err)
		}
	}
	return all, nil
}

// target is a URL that is asked.
type target struct {
	connections []*connection
	asked       time.Duration // how long
}

func (t *target) ask(d, pause time.Duration) error {
	var wg sync.WaitGroup
	start := time.Now()
	for _, c := range t.connections {
		wg.Go(func() { c.err = c.ask(start.Add(d), pause) })
	}
	wg.Wait()
	t.asked += time.Since(start)
	var failed error
	for _, c := range t.connections {
		failed = errors.Join(failed, c.err)
	}
	return failed
}

func (t *target) answers() (answers, error) {
	a := answers{Seconds: t.asked.Seconds(), Status: map[int]int{}}
	var took []time.Duration
	for _, c := range t.connections {
		for code, n := range c.status {
			a.Status[code] += n
		}
		took = append(took, c.took...)
	}
	if len(took) == 0 {
		return a, errors.New("no request was answered")
	}
	slices.Sort(took)
	a.P50, a.P99 = took[len(took)/2], took[len(took)*99/100]
	return a, nil
}

// connection asks the same all the time. It speaks HTTP/1.1 itself, at a fraction of
// what a client of net/http would take from the server's processors.
type connection struct {
	conn    net.Conn
	r       *bufio.Reader
	request []byte
	status  map[int]int
	took    []time.Duration
	err     error
}

func (l load) dial(ctx context.Context, to string) (*connection, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", target.Host)
	if err != nil {
		return nil, err
	}
	request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n", l.Method, target.Path, target.Host)
	if l.IfNoneMatch != "" {
		request += "If-None-Match: " + l.IfNoneMatch + "\r\n"
	}
	return &connection{conn: conn, r: bufio.NewReader(conn), request: []byte(request + "\r\n"), status: map[int]int{}}, nil
}

func (c *connection) close() { _ = c.conn.Close() } // nothing is left to write

func (c *connection) ask(end time.Time, pause time.Duration) error {
	if err := c.conn.SetDeadline(end.Add(5 * time.Second)); err != nil {
		return err
	}
	var tick <-chan time.Time
	if pause > 0 {
		ticker := time.NewTicker(pause)
		defer ticker.Stop()
		tick = ticker.C
	}
	for time.Now().Before(end) {
		if tick != nil {
			<-tick
		}
		asked := time.Now()
		if _, err := c.conn.Write(c.request); err != nil {
			return err
		}
		code, err := readAnswer(c.r)
		if err != nil {
			return err
		}
		c.took = append(c.took, time.Since(asked))
		c.status[code]++
	}
	return nil
}

// readAnswer reads one response and drops its body.
func readAnswer(r *bufio.Reader) (status int, err error) {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case err != nil:
			return 0, err
		case status == 0:
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, err
			}
		case len(line) == len("\r\n"):
			_, err = r.Discard(length)
			return status, err
		default:
			if text, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				if length, err = strconv.Atoi(string(bytes.TrimSpace(text))); err != nil {
					return 0, err
				}
			} else if bytes.HasPrefix(line, []byte("Transfer-Encoding:")) {
				return 0, errors.New("the answer comes in chunks")
			}
		}
	}
}

// serveBare is the bare handler: it asks the URL that it reads for a response,
// and from then on writes the same bytes under the same headers, until standard
// input ends.
func serveBare(ctx context.Context) error {
	in := bufio.NewReader(os.Stdin)
	original, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSpace(original), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	response.Header.Del("Date") // net/http writes it
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           bare(response.Header, body),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = srv.Close()
	}()
	_, _ = fmt.Fprintf(os.Stdout, "http://%s\n", l.Addr())
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bare answers with the least that a handler of net/http can do.
func bare(header http.Header, body []byte) http.Handler {
	etag := header.Get("Etag")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		maps.Copy(h, header)
		if r.Header.Get("If-None-Match") == etag {
			delete(h, "Content-Type")
			delete(h, "Content-Length")
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(body)
	})
}

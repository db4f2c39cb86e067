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
// was answered, or after the pause, until the time is over.
type load struct {
	URL, Method, IfNoneMatch string
	Connections              int
	For, Pause               time.Duration

	on place // not sent: whoever starts the generator puts it there
}

// answers are what came of a load.
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
func (l load) elsewhere(ctx context.Context) (answers, error) {
	task, err := json.Marshal(l)
	if err != nil {
		return answers{}, err
	}
	cmd := helper(ctx, "load")
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout = bytes.NewReader(task), &out
	if err := startAt(l.on, cmd); err != nil {
		return answers{}, err
	}
	if err := cmd.Wait(); err != nil {
		return answers{}, fmt.Errorf("load on %s: %w: %s", l.URL, err, &out)
	}
	var a answers
	return a, json.NewDecoder(&out).Decode(&a)
}

func (l load) run(ctx context.Context) (answers, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var took []time.Duration
	var failed error
	total := answers{Status: map[int]int{}}
	start := time.Now()
	for range l.Connections {
		wg.Go(func() {
			status, times, err := l.connection(ctx, start.Add(l.For))
			mu.Lock()
			defer mu.Unlock()
			for code, n := range status {
				total.Status[code] += n
			}
			took, failed = append(took, times...), errors.Join(failed, err)
		})
	}
	wg.Wait()
	total.Seconds = time.Since(start).Seconds()
	if len(took) == 0 {
		return total, errors.Join(failed, errors.New("no request was answered"))
	}
	slices.Sort(took)
	total.P50, total.P99 = took[len(took)/2], took[len(took)*99/100]
	return total, failed
}

// connection asks over one connection. It speaks HTTP/1.1 itself, at a fraction
// of what a client of net/http would take from the server's processors.
func (l load) connection(ctx context.Context, end time.Time) (status map[int]int, took []time.Duration, err error) {
	target, err := url.Parse(l.URL)
	if err != nil {
		return nil, nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", target.Host)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = conn.Close() }() // nothing is left to write
	if err := conn.SetDeadline(end.Add(5 * time.Second)); err != nil {
		return nil, nil, err
	}
	request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n", l.Method, target.Path, target.Host)
	if l.IfNoneMatch != "" {
		request += "If-None-Match: " + l.IfNoneMatch + "\r\n"
	}
	message, r := []byte(request+"\r\n"), bufio.NewReader(conn)
	status = map[int]int{}
	var tick <-chan time.Time
	if l.Pause > 0 {
		ticker := time.NewTicker(l.Pause)
		defer ticker.Stop()
		tick = ticker.C
	}
	for time.Now().Before(end) {
		if tick != nil {
			<-tick
		}
		asked := time.Now()
		if _, err := conn.Write(message); err != nil {
			return status, took, err
		}
		code, err := readAnswer(r)
		if err != nil {
			return status, took, err
		}
		took = append(took, time.Since(asked))
		status[code]++
	}
	return status, took, nil
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

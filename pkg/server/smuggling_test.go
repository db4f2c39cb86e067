package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A proxy in front may frame a request in another way than this server does, or read
// another of two headers. Each shape must be refused, or be read in the one way that
// RFC 9112 allows, and what follows it must not become a second request.
func TestSmugglingShapes(t *testing.T) {
	srv := newClientServer(t, func(o *Options) { o.Now = nil })
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ctx, listener) }()
	t.Cleanup(func() { stop(); <-ended })

	body := form("grant_type", "client_credentials")
	length := "Content-Length: " + strconv.Itoa(len(body)) + "\r\n"
	contentType := "Content-Type: " + formType + "\r\n"
	auth := "Authorization: " + basic("billing", secret) + "\r\n"
	wrong := "Authorization: " + basic("billing", "wrong") + "\r\n"
	smuggled := "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
	chunked := strconv.FormatInt(int64(len(body)), 16) + "\r\n" + body + "\r\n0\r\n\r\n"
	const line, host = "POST /oauth2/token HTTP/1.1\r\n", "Host: localhost\r\n"
	for _, tt := range []struct {
		name, request string
		want          []int // statuses, until the server closes the connection
	}{
		{"the plain shape", line + host + contentType + auth + length + "\r\n" + body, []int{200}},
		{"two requests", line + host + contentType + auth + length + "\r\n" + body + smuggled, []int{200, 200}},
		{"chunked", line + host + contentType + auth + "Transfer-Encoding: chunked\r\n\r\n" + chunked, []int{200}},
		{"two lengths that differ", line + host + contentType + auth + length + "Content-Length: 0\r\n\r\n" + body, []int{400}},
		{"two lengths in one line", line + host + contentType + auth + "Content-Length: 29, 0\r\n\r\n" + body, []int{400}},
		{"a length with a sign", line + host + contentType + auth + "Content-Length: +" + strconv.Itoa(len(body)) + "\r\n\r\n" + body, []int{400}},
		{"a negative length", line + host + contentType + auth + "Content-Length: -1\r\n\r\n" + body, []int{400}},
		{"a length and chunks", line + host + contentType + auth + length + "Transfer-Encoding: chunked\r\n\r\n" + chunked + smuggled, []int{200}},
		{"another coding", line + host + contentType + auth + length + "Transfer-Encoding: gzip, chunked\r\n\r\n" + chunked, []int{501}},
		{"a coding with a space", line + host + contentType + auth + length + "Transfer-Encoding : chunked\r\n\r\n" + chunked, []int{400}},
		{"two codings", line + host + contentType + auth + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + chunked, []int{501}},
		{"a chunk size that is too long", line + host + contentType + auth + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", []int{400}},
		{"a bare LF after a chunk size", line + host + contentType + auth + "Transfer-Encoding: chunked\r\n\r\n" + strings.Replace(chunked, "\r\n", "\n", 1) + smuggled, []int{400}},
		{"a folded header", line + host + contentType + strings.Replace(auth, "Basic ", "Basic\r\n ", 1) + length + "\r\n" + body, []int{200}},
		{"a header line that begins with a space", line + " Host: localhost\r\n" + host + contentType + auth + length + "\r\n" + body, []int{400}},
		{"bare LF as line ends", strings.ReplaceAll(line+host+contentType+auth+length+"\r\n", "\r\n", "\n") + body, []int{200}},
		{"a bare CR in a header", line + host + contentType + "X-A: a\rX-B: b\r\n" + auth + length + "\r\n" + body, []int{400}},
		{"a NUL in a header", line + host + contentType + "X-A: a\x00b\r\n" + auth + length + "\r\n" + body, []int{400}},
		{"a space before the colon", line + host + contentType + strings.Replace(auth, ":", " :", 1) + length + "\r\n" + body, []int{400}},
		{"absolute form", "POST http://localhost/oauth2/token HTTP/1.1\r\n" + host + contentType + auth + length + "\r\n" + body, []int{200}},
		{"absolute form of another host", "POST http://other.example/oauth2/token HTTP/1.1\r\n" + host + contentType + auth + length + "\r\n" + body, []int{421}},
		{"absolute form with credentials", "POST http://billing:" + secret + "@localhost/oauth2/token HTTP/1.1\r\n" + host + contentType + length + "\r\n" + body, []int{401}},
		{"two hosts", line + host + "Host: other.example\r\n" + contentType + auth + length + "\r\n" + body, []int{400}},
		{"no host", line + contentType + auth + length + "\r\n" + body, []int{400}},
		{"two Authorization headers", line + host + contentType + auth + wrong + length + "\r\n" + body, []int{400}},
		{"the same Authorization twice", line + host + contentType + auth + auth + length + "\r\n" + body, []int{400}},
		{"Authorization in other letters", line + host + contentType + auth + strings.Replace(auth, "Authorization", "aUTHORIZATION", 1) + length + "\r\n" + body, []int{400}},
		{"Authorization with an underscore is another header", line + host + contentType + auth + strings.Replace(wrong, "Authorization", "Authorization_", 1) + length + "\r\n" + body, []int{200}},
		{"two Content-Types", line + host + contentType + "Content-Type: application/json\r\n" + auth + length + "\r\n" + body, []int{415}},
		{"the same Content-Type twice", line + host + contentType + contentType + auth + length + "\r\n" + body, []int{415}},
		{"a trailer with credentials", line + host + contentType + "Trailer: Authorization\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.TrimSuffix(chunked, "\r\n") + auth + "\r\n", []int{401}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := exchange(t, listener.Addr().String(), tt.request)
			if len(got) != len(tt.want) {
				t.Fatalf("statuses %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("statuses %v, want %v", got, tt.want)
				}
			}
		})
	}
}

// exchange sends bytes on a connection of its own, ends the sending side, and returns the
// status of each answer.
func exchange(t *testing.T, address, request string) (statuses []int) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if err := tcp.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	for r := bufio.NewReader(conn); ; {
		answer, err := http.ReadResponse(r, nil)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return statuses
		}
		if err != nil {
			t.Fatalf("after %v: %v", statuses, err)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatal(err)
		}
		statuses = append(statuses, answer.StatusCode)
	}
}

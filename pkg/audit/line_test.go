package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/audit"
)

// written is the line of an event, without its newline.
func written(t *testing.T, e audit.Event) string {
	t.Helper()
	var out bytes.Buffer
	if err := audit.New(&out).Write(e); err != nil {
		t.Fatal(err)
	}
	line, ok := strings.CutSuffix(out.String(), "\n")
	if !ok || strings.Contains(line, "\n") {
		t.Fatalf("%q is not one line", out.String())
	}
	return line
}

func TestLine(t *testing.T) {
	at := time.Date(2026, 1, 2, 16, 4, 5, 100_900_000, time.FixedZone("CET", 3600))
	tests := []struct {
		event audit.Event
		want  string
	}{
		{audit.Event{Time: at, Kind: audit.TokenRefused}, `{"time":"2026-01-02T15:04:05.100Z","event":"token_refused"}`},
		{
			audit.Event{
				Time: at, Kind: audit.TokenIssued, RequestID: "r", Route: "/auth", Address: "127.0.0.1", Client: "billing", Method: "client_secret_basic",
				ID: "j", KeyID: "k", Subject: "s & <t>", Audience: []string{"a", "b"}, Scope: "x y", ExpiresAt: 1767366245, Expired: true,
			},
			`{"time":"2026-01-02T15:04:05.100Z","event":"token_issued","request_id":"r","route":"/auth","address":"127.0.0.1","client":"billing",` +
				`"method":"client_secret_basic","jti":"j","kid":"k","sub":"s & <t>","aud":["a","b"],"scope":"x y","exp":1767366245,"expired":true}`,
		},
		{
			audit.Event{
				Time: at, Kind: audit.KeyChanged, Command: "keys revoke", User: "root", KeyID: "k", Error: "e", Reason: "leaked", Step: "revoke", Forced: true,
				Version: 7, Setting: "x", Old: "1", New: "2",
			},
			`{"time":"2026-01-02T15:04:05.100Z","event":"key_changed","command":"keys revoke","user":"root","kid":"k","error":"e","reason":"leaked",` +
				`"step":"revoke","forced":true,"version":7,"setting":"x","old":"1","new":"2"}`,
		},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, written(t, tt.event)); diff != "" {
			t.Error(diff)
		}
	}
}

// What a client sends cannot break a line, wherever it is.
func TestHostileText(t *testing.T) {
	token := "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
	tests := []struct{ name, text, want string }{
		{"newlines", "a\nb\r\nc\u2028d\u2029e\u0085f", "a\nb\r\nc\u2028d\u2029e\u0085f"},
		{"control characters", "a\x00b\x1b[2Jc\x7f\u009b31m\u202ed", "a\x00b\x1b[2Jc\x7f\u009b31m\u202ed"},
		{"private characters", "a\U000F0000\U0010FFFFb", "a\U000F0000\U0010FFFFb"},
		{"quotes", `a"b\c"},{"`, `a"b\c"},{"`},
		{"invalid UTF-8", "a\xff\xfeb\xc3", "a\uFFFDb\uFFFD"},
		{"a surrogate", "a\xed\xa0\x80b", "a\uFFFDb"},
		{"60 KB", strings.Repeat("x", 60_000), strings.Repeat("x", 1024) + "…"},
		{"1,024 bytes", strings.Repeat("x", 1024), strings.Repeat("x", 1024)},
		{"60 KB of characters", strings.Repeat("€", 20_000), strings.Repeat("€", 341) + "…"},
		{"60 KB that are not UTF-8", strings.Repeat("\x80", 60_000), "\uFFFD…"},
		{"a token", "Bearer " + token + ", and more", "Bearer (token), and more"},
		{"a token after 60 KB", strings.Repeat("x ", 512) + token, strings.Repeat("x ", 512) + "…"},
		{"a token of 60 KB", "eyJ" + strings.Repeat("x", 60_000) + ".e30.c2ln", "(token)"},
		{"a token at the limit", strings.Repeat("x", 1010) + " " + token, strings.Repeat("x", 1010) + " (token)"},
		{"an encrypted token", "ewogImFsZyI6ImRpciJ9..aXY.dGV4dA.dGFn", "(token)"},
		{"a host that is no token", "https://eyj.example/monkeyJohnson123.html", "https://eyj.example/monkeyJohnson123.html"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var event, want audit.Event
			fill(t, &event, tt.text)
			fill(t, &want, tt.want)
			event.Time, want.Time = time.Unix(0, 0).UTC(), time.Unix(0, 0).UTC()
			line := written(t, event)
			if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q is not printable", line)
			}
			var got audit.Event
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// fill sets every text of an event, except its kind, which is ours.
func fill(t *testing.T, e *audit.Event, text string) {
	t.Helper()
	texts := 0
	for _, v := range reflect.ValueOf(e).Elem().Fields() {
		switch f := v.Addr().Interface().(type) {
		case *string:
			*f = text
			texts++
		case *[]string:
			*f = []string{text, text}
			texts++
		}
	}
	if texts < 18 {
		t.Fatalf("the event has %d texts", texts)
	}
}

func TestLongList(t *testing.T) {
	var all []string
	for i := range 17 {
		all = append(all, fmt.Sprint(i))
	}
	for n, want := range map[int]string{16: `"14","15"]}`, 17: `"14","15","…"]}`} {
		if line := written(t, audit.Event{Audience: all[:n]}); !strings.HasSuffix(line, want) {
			t.Errorf("%d audiences give %s", n, line)
		}
	}
}

// The event of the caller stays as it is.
func TestWriteChangesNoEvent(t *testing.T) {
	e := audit.Event{Time: time.Now(), Audience: []string{"a\xff"}}
	written(t, e)
	if e.Audience[0] != "a\xff" {
		t.Errorf("the audience is now %q", e.Audience)
	}
}

package main

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"now":                       now,
		"now+30m":                   now.Add(30 * time.Minute),
		"now-1h30m":                 now.Add(-90 * time.Minute),
		"+30m":                      now.Add(30 * time.Minute),
		"-1d":                       now.Add(-24 * time.Hour),
		"+7d12h":                    now.Add(180 * time.Hour),
		"1767225600":                time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		"0":                         time.Unix(0, 0),
		"253402300799":              time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		"2026-01-02T15:04:05Z":      time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC),
		"2026-01-02T15:04:05+02:00": time.Date(2026, 1, 2, 13, 4, 5, 0, time.UTC),
		"2026-01-02T15:04:05.5Z":    time.Date(2026, 1, 2, 15, 4, 5, 5e8, time.UTC),
	} {
		got, err := parseTime(text, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%q gives %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "now ", "nowhere", "now+", "+", "-", "now+30", "+-1d", "--1d", "now++1d", "1.5", "1e9", "0x10",
		"99999999999999999999", "9223372036854775807", "-9223372036854775808", "253402300800", "2026-01-02", "2026-01-02 15:04:05", "2026-13-01T00:00:00Z", "tomorrow", "30m",
	} {
		if got, err := parseTime(text, now); err == nil {
			t.Errorf("%q gives %v, want an error", text, got)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{"now", "now+30m", "-1d", "1767225600", "2026-01-02T15:04:05Z", "now-", "+99999999d", ""} {
		f.Add(seed)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTime(text, now)
		if err != nil {
			return
		}
		relative := strings.TrimPrefix(text, "now")
		switch {
		case strings.HasPrefix(relative, "+") && got.Before(now), strings.HasPrefix(relative, "-") && got.After(now):
			t.Errorf("%q gives %v, on the wrong side of %v", text, got, now)
		}
	})
}

func TestRoughly(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                "0s",
		400 * time.Millisecond:           "0s",
		600 * time.Millisecond:           "1s",
		59 * time.Second:                 "59s",
		time.Minute:                      "1m",
		61 * time.Second:                 "1m1s",
		time.Hour:                        "1h",
		time.Hour + time.Second:          "1h",
		25*time.Hour + 59*time.Minute:    "1d1h",
		240 * time.Hour:                  "10d",
		-90 * time.Minute:                "-1h30m",
		time.Hour - 400*time.Millisecond: "1h",
		math.MaxInt64:                    "106751d23h",
		math.MinInt64:                    "-106751d23h",
	} {
		if got := roughly(d); got != want {
			t.Errorf("%v is roughly %s, want %s", d, got, want)
		}
	}
}

func TestTokenInput(t *testing.T) {
	tests := []struct {
		name  string
		args  []string
		stdin string
		want  string // empty if it is refused
	}{
		{"argument", []string{"a.b.c"}, "x", "a.b.c"},
		{"stdin", nil, "a.b.c\n", "a.b.c"},
		{"dash", []string{"-"}, "a.b.c\r\n", "a.b.c"},
		{"bearer", []string{"Bearer a.b.c"}, "", "a.b.c"},
		{"bearer in lower case", nil, "bearer  a.b.c\n", "a.b.c"},
		{"header is no token", []string{"Bearer"}, "", "Bearer"},
		{"empty argument", []string{""}, "a.b.c", ""},
		{"empty stdin", nil, "\n", ""},
		{"no such file", []string{"@none"}, "", ""},
		{"no file at all", []string{"@"}, "", ""},
		{"too large", nil, strings.Repeat("a", 1<<20+1), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _, _ := newProcess(t, tt.stdin)
			a := &app{process: p}
			got, err := a.tokenInput(tt.args)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
			if err != nil && codeOf(err) != exitUsage {
				t.Errorf("%v gives the exit code %d, want %d", err, codeOf(err), exitUsage)
			}
		})
	}
}

// A read that its command no longer waits for must not delay the command, and must not
// write into memory that is used again.
func TestInterruptibleReader(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	in, out := io.Pipe()
	cause := errors.New("stop")
	cancel(cause)
	r := &interruptibleReader{ctx, in}
	b := make([]byte, 4)
	if n, err := r.Read(b); n != 0 || !errors.Is(err, cause) {
		t.Fatalf("got %d bytes, %v", n, err)
	}
	if _, err := out.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	if string(b) != "\x00\x00\x00\x00" {
		t.Errorf("the buffer has become %q", b)
	}
}

func TestDistance(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for want, at := range map[string]time.Time{
		"0s ago":      now,
		"in 1d2h":     now.Add(26 * time.Hour),
		"1m30s ago":   now.Add(-90 * time.Second),
		"in 2912383d": time.Unix(253402300799, 0),
		"740041d ago": time.Date(-1, 12, 31, 23, 0, 0, 0, time.UTC),
	} {
		if got := distance(at, now); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}

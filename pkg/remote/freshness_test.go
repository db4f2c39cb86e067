package remote_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/remote"
)

func TestFreshness(t *testing.T) {
	const hour = time.Hour
	date := time.Date(2020, 2, 2, 2, 2, 2, 0, time.UTC) // of a server whose clock is off
	at := func(d time.Duration) string { return date.Add(d).Format(http.TimeFormat) }
	tests := []struct {
		name   string
		header []string
		fresh  time.Duration
		stale  time.Duration // beyond fresh
	}{
		{"nothing said", nil, 5 * time.Minute, hour},
		{"max-age", []string{"Cache-Control", "public, max-age=60"}, time.Minute, hour},
		{"case and spaces", []string{"Cache-Control", "  PUBLIC ,\tMax-Age = 60"}, time.Minute, hour},
		{"quoted", []string{"Cache-Control", `max-age="60"`}, time.Minute, hour},
		{"two lines", []string{"Cache-Control", "public", "Cache-Control", "max-age=60"}, time.Minute, hour},
		{"the shorter of two", []string{"Cache-Control", "max-age=60, max-age=30, max-age=90"}, 30 * time.Second, hour},
		{"a comma in quotes", []string{"Cache-Control", `x="a,max-age=9,\",no-store", max-age=60`}, time.Minute, hour},
		{"not for us", []string{"Cache-Control", "s-maxage=9, max-age=60, immutable, x-max-age=1"}, time.Minute, hour},
		{"capped", []string{"Cache-Control", "max-age=99999999"}, 24 * time.Hour, hour},
		{"beyond all numbers", []string{"Cache-Control", "max-age=99999999999999999999999999"}, 24 * time.Hour, hour},
		{"negative", []string{"Cache-Control", "max-age=-60"}, time.Second, hour},
		{"signed", []string{"Cache-Control", "max-age=+60"}, time.Second, hour},
		{"no number", []string{"Cache-Control", "max-age=1h"}, time.Second, hour},
		{"no value", []string{"Cache-Control", "max-age"}, time.Second, hour},
		{"zero", []string{"Cache-Control", "max-age=0"}, time.Second, hour},
		{"no-store", []string{"Cache-Control", "no-store, max-age=60"}, time.Second, 0},
		{"no-cache", []string{"Cache-Control", "no-cache, max-age=60"}, time.Second, 0},
		{"no-cache of a field", []string{"Cache-Control", `no-cache="Set-Cookie", max-age=60`}, time.Second, 0},
		{"must-revalidate", []string{"Cache-Control", "max-age=60, must-revalidate"}, time.Minute, 0},
		{"stale-if-error", []string{"Cache-Control", "max-age=60, stale-if-error=10"}, time.Minute, 10 * time.Second},
		{"stale-if-error beyond ours", []string{"Cache-Control", "max-age=60, stale-if-error=99999"}, time.Minute, hour},
		{"Age", []string{"Cache-Control", "max-age=60", "Age", "45"}, 15 * time.Second, hour},
		{"Age beyond max-age", []string{"Cache-Control", "max-age=60", "Age", "300"}, time.Second, hour},
		{"Age beyond the cap", []string{"Cache-Control", "max-age=99999999", "Age", "86000"}, 400 * time.Second, hour},
		{"Age beyond all numbers", []string{"Cache-Control", "max-age=60", "Age", "18446744000"}, time.Second, hour},
		{"Age that is none", []string{"Cache-Control", "max-age=60", "Age", "-45"}, time.Minute, hour},
		{"Age and nothing said", []string{"Age", "60"}, 4 * time.Minute, hour},
		{"Expires", []string{"Expires", at(time.Minute), "Date", at(0)}, time.Minute, hour},
		{"Expires and Age", []string{"Expires", at(time.Minute), "Date", at(0), "Age", "50"}, 10 * time.Second, hour},
		{"Expires in the past", []string{"Expires", at(-time.Minute), "Date", at(0)}, time.Second, hour},
		{"Expires that is no date", []string{"Expires", "0"}, time.Second, hour},
		{"Expires and no Date", []string{"Expires", "Sat, 01 Jan 2000 00:01:00 GMT", "Date", "today"}, time.Minute, hour}, // a bubble begins in 2000
		{"Expires and max-age", []string{"Expires", at(time.Minute), "Date", at(0), "Cache-Control", "max-age=30"}, 30 * time.Second, hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := remote.Options{Transport: inMemory(t, says(setOf(t, newKey(t)), tt.header...))}
				doc, err := remote.Fetch(t.Context(), address, o)
				if err != nil {
					t.Fatal(err)
				}
				if got := doc.FreshUntil.Sub(doc.FetchedAt); got != tt.fresh {
					t.Errorf("fresh for %s, want %s", got, tt.fresh)
				}
				if got := doc.StaleUntil.Sub(doc.FreshUntil); got != tt.stale {
					t.Errorf("stale for %s, want %s", got, tt.stale)
				}
			})
		})
	}
}

func TestFreshnessCountsFromTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := setOf(t, newKey(t))
		slow := func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(3 * time.Second)
			says(body, "Cache-Control", r.URL.Query().Get("cc"))(w, r)
		}
		o := remote.Options{Transport: inMemory(t, http.HandlerFunc(slow))}
		for cc, want := range map[string]time.Duration{
			"max-age=60": 60 * time.Second,
			"no-store":   4 * time.Second, // else a slow answer could never be used
		} {
			begin := time.Now()
			doc, err := remote.Fetch(t.Context(), address+"?cc="+cc, o)
			if err != nil {
				t.Fatal(err)
			}
			if got := doc.FreshUntil.Sub(begin); got != want {
				t.Errorf("%s: fresh until %s after the request, want %s", cc, got, want)
			}
		}
	})
}

func TestMaxStaleOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := remote.Options{Transport: inMemory(t, says(setOf(t, newKey(t)))), MaxStale: -1}
		doc, err := remote.Fetch(t.Context(), address, o)
		if err != nil {
			t.Fatal(err)
		}
		if !doc.StaleUntil.Equal(doc.FreshUntil) {
			t.Errorf("stale for %s", doc.StaleUntil.Sub(doc.FreshUntil))
		}
	})
}

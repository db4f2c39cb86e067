package remote

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// cacheControl has the directives of Cache-Control that a private cache uses (RFC 9111
// section 5.2.2, RFC 5861 section 4). A duration that was not given is nil.
type cacheControl struct {
	noStore        bool
	noCache        bool
	mustRevalidate bool
	maxAge         *time.Duration
	staleIfError   *time.Duration
}

// parseCacheControl reads a header value. If a directive is given twice, the shorter
// time counts, and a time that cannot be read is zero: a doubtful document is stale
// (RFC 9111 section 4.2.1).
func parseCacheControl(header string) cacheControl {
	var cc cacheControl
	for header != "" {
		var directive string
		directive, header = cutDirective(header)
		name, value, _ := strings.Cut(directive, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "no-store":
			cc.noStore = true
		case "no-cache":
			cc.noCache = true
		case "must-revalidate":
			cc.mustRevalidate = true
		case "max-age":
			cc.maxAge = shorter(cc.maxAge, value)
		case "stale-if-error":
			cc.staleIfError = shorter(cc.staleIfError, value)
		}
	}
	return cc
}

// cutDirective cuts s at its first comma outside a quoted string.
func cutDirective(s string) (directive, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func shorter(old *time.Duration, value string) *time.Duration {
	value = strings.TrimSpace(value)
	if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	d := deltaSeconds(value)
	if old != nil {
		d = min(d, *old)
	}
	return &d
}

// maxDelta stands for every larger number of seconds (RFC 9111 section 1.2.2).
const maxDelta = 1 << 31

// deltaSeconds reads a count of seconds: digits and nothing else, or it is zero.
func deltaSeconds(s string) time.Duration {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > maxDelta {
		n = maxDelta
	}
	return time.Duration(n) * time.Second
}

// setLifetime sets until when d may be used, by its headers and the limits of o. The
// lifetime starts before the request was sent, because the response may have been
// generated at any time after that (RFC 9111 section 4.2.3). Date is not compared with
// our clock, because the difference depends more on the clocks than on the age.
func (d *Document) setLifetime(received time.Time, o Options) {
	cc := parseCacheControl(d.CacheControl)
	lifetime := o.DefaultMaxAge
	switch {
	case cc.noStore || cc.noCache:
		lifetime = 0
	case cc.maxAge != nil:
		lifetime = *cc.maxAge
	case d.Expires != "":
		lifetime = d.untilExpires()
	}
	d.FreshUntil = d.FetchedAt.Add(min(lifetime, o.MaxMaxAge) - d.Age)
	if floor := received.Add(minFresh); d.FreshUntil.Before(floor) {
		d.FreshUntil = floor
	}

	stale := o.MaxStale
	switch {
	case cc.noStore || cc.noCache || cc.mustRevalidate:
		stale = 0
	case cc.staleIfError != nil:
		stale = min(stale, *cc.staleIfError)
	}
	d.StaleUntil = d.FreshUntil.Add(stale)
}

// untilExpires is Expires minus Date, both by the server's clock. A value that is not a
// date, such as "0", is in the past (RFC 9111 section 5.3).
func (d *Document) untilExpires() time.Duration {
	expires, err := http.ParseTime(d.Expires)
	if err != nil {
		return 0
	}
	date, err := http.ParseTime(d.date)
	if err != nil {
		date = d.FetchedAt
	}
	return expires.Sub(date)
}

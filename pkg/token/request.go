package token

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Check says early what Mint would say of the request, were it signed at now by a
// key whose tokens may live for longest. The size of the token is not judged, which
// depends on the key. The error is a *RequestError or a *TTLError.
func (r *Request) Check(now time.Time, longest time.Duration) error {
	if err := r.check(); err != nil {
		return err
	}
	_, _, err := r.life(now, now.Add(longest))
	return err
}

// check refuses a request that no signer could meet, before one is asked.
func (r *Request) check() error {
	for _, field := range [...]struct{ name, text string }{
		{"iss", r.Issuer},
		{"sub", r.Subject},
		{"scope", r.Scope},
		{"jti", r.ID},
		{"typ", r.Type},
	} {
		if !utf8.ValidString(field.text) {
			return &RequestError{field.name, "it is not valid UTF-8"}
		}
	}
	for _, audience := range r.Audience {
		if audience == "" || !utf8.ValidString(audience) {
			return &RequestError{"aud", "an audience is empty or not valid UTF-8"}
		}
	}
	if r.TTL != 0 && r.TTL < time.Second {
		return &RequestError{"ttl", fmt.Sprintf("%s is too short: ask for 1s or more", r.TTL)}
	}
	if err := r.checkClaims(); err != nil {
		return err
	}
	return r.checkHeader()
}

// checkClaims refuses claims that have a field of their own, under any spelling
// that a careless reader may take for it.
func (r *Request) checkClaims() error {
	if len(r.Claims) == 0 {
		return nil
	}
	fields := map[string]string{
		"iss": "iss", "sub": "sub", "aud": "aud", "nbf": "nbf", "jti": "jti", "exp": "ttl",
	}
	for _, name := range slices.Sorted(maps.Keys(r.Claims)) {
		field, ok := fields[strings.ToLower(name)]
		switch {
		case ok:
			return &RequestError{"claims", fmt.Sprintf("%s has a setting of its own: use %s", quote(name), field)}
		case strings.EqualFold(name, "iat"):
			return &RequestError{"claims", fmt.Sprintf("%s is always the time of signing: leave it out", quote(name))}
		case nearMiss(name) != "":
			return &RequestError{"claims", fmt.Sprintf("%s would be taken for %s", quote(name), nearMiss(name))}
		case name == "scope" && r.Scope != "":
			return &RequestError{"claims", "\"scope\" is given twice: leave out one"}
		}
	}
	return checkJSON("claims", r.Claims)
}

// checkHeader refuses header members that this package sets, that would have a
// verifier trust another key, or that change how a token is read.
func (r *Request) checkHeader() error {
	if len(r.Header) == 0 {
		return nil
	}
	reserved := []string{
		"alg", "kid", "typ", "cty", "crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256",
		"epk", "apu", "apv", "iv", "tag", "p2s", "p2c",
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		switch {
		case strings.EqualFold(name, "alg"), strings.EqualFold(name, "kid"):
			return &RequestError{"header", fmt.Sprintf("%s follows from the signing key: leave it out", quote(name))}
		case strings.EqualFold(name, "typ"):
			return &RequestError{"header", fmt.Sprintf("%s has a setting of its own: use typ", quote(name))}
		case slices.ContainsFunc(reserved, func(r string) bool { return strings.EqualFold(name, r) }):
			return &RequestError{"header", fmt.Sprintf("%s must not be set: it changes how verifiers read the token", quote(name))}
		}
	}
	return checkJSON("header", r.Header)
}

// checkJSON holds values to what a strict reader reads back: encoding/json would
// quietly replace broken UTF-8.
func checkJSON(field string, members map[string]any) error {
	if !validText(members) {
		return &RequestError{field, "a name or value is not valid UTF-8, or no JSON value"}
	}
	data, err := json.Marshal(members)
	if err != nil {
		return &RequestError{field, fmt.Sprintf("it cannot be written as JSON: %v", err)}
	}
	if _, err := parseObject(data); err != nil {
		return &RequestError{field, fmt.Sprintf("it cannot be used: %v", err)}
	}
	return nil
}

// validText says whether a value is of JSON's kinds and all its text is valid UTF-8.
func validText(value any) bool {
	switch value := value.(type) {
	case nil, bool, json.Number, float64, int, int64, uint64:
		return true
	case string:
		return utf8.ValidString(value)
	case []string:
		return !slices.ContainsFunc(value, func(s string) bool { return !utf8.ValidString(s) })
	case []any:
		return !slices.ContainsFunc(value, func(v any) bool { return !validText(v) })
	case map[string]any:
		for name, member := range value {
			if !utf8.ValidString(name) || !validText(member) {
				return false
			}
		}
		return true
	default:
		return false
	}
}

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

// Request is what a token should contain. The zero value asks for a token with only
// iat, exp and jti, and the longest lifetime.
type Request struct {
	Issuer    string         // iss
	Subject   string         // sub
	Audience  []string       // aud: one is written as a string, several as an array
	Scope     string         // scope, separated by spaces
	TTL       time.Duration  // exp - iat, rounded down to whole seconds; 0 means the longest
	NotBefore *time.Time     // nbf, rounded down to the second
	ID        string         // jti; "" means a random one of 128 bits
	Type      string         // typ; "" means "JWT"
	Claims    map[string]any // further claims, with values as encoding/json decodes them
	Header    map[string]any // further header members, likewise
}

// RequestError means that no token can be minted for a Request.
type RequestError struct {
	Field   string // the invalid field, by the name of its claim or setting: "aud", "claims", "header"…
	Message string
}

// Error returns the field and what is wrong with it.
func (e *RequestError) Error() string { return e.Field + ": " + e.Message }

// TTLError means that a Request asks for a longer lifetime than is possible now.
type TTLError struct {
	Asked, Longest time.Duration
}

// Error names the limit.
func (e *TTLError) Error() string {
	return fmt.Sprintf("ttl: %s is longer than a token may be valid now: ask for %s at most, or leave it out to get the longest", e.Asked, e.Longest)
}

// Check returns the error that Mint would return if a key signed at the time now whose
// tokens may be valid for longest. It does not check the size of the token, which
// depends on the key. The error is a *RequestError or a *TTLError.
func (r *Request) Check(now time.Time, longest time.Duration) error {
	if err := r.check(); err != nil {
		return err
	}
	_, _, err := r.validity(now, now.Add(longest))
	return err
}

// check checks everything that does not depend on the key and the time.
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

// checkClaims refuses claims that have a field in Request, and names that differ from
// a known claim in case only.
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
			return &RequestError{"claims", fmt.Sprintf("%s has its own setting: use %s", quote(name), field)}
		case strings.EqualFold(name, "iat"):
			return &RequestError{"claims", fmt.Sprintf("%s is always the time of signing: leave it out", quote(name))}
		case confusedClaim(name) != "":
			return &RequestError{"claims", fmt.Sprintf("%s could be confused with %s", quote(name), confusedClaim(name))}
		case name == "scope" && r.Scope != "":
			return &RequestError{"claims", "\"scope\" is given twice: leave one out"}
		}
	}
	return checkJSON("claims", r.Claims)
}

// checkHeader refuses header members that Mint sets, that offer the verifier a key, or
// that change how a token is read.
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
			return &RequestError{"header", fmt.Sprintf("%s is set by the signing key: leave it out", quote(name))}
		case strings.EqualFold(name, "typ"):
			return &RequestError{"header", fmt.Sprintf("%s has its own setting: use typ", quote(name))}
		case slices.ContainsFunc(reserved, func(r string) bool { return strings.EqualFold(name, r) }):
			return &RequestError{"header", fmt.Sprintf("%s is reserved: it changes how verifiers read the token", quote(name))}
		}
	}
	return checkJSON("header", r.Header)
}

// checkJSON refuses members that a Verifier could not read back. It checks UTF-8
// itself, because encoding/json replaces invalid bytes without an error.
func checkJSON(field string, members map[string]any) error {
	if !isJSON(members) {
		return &RequestError{field, "a name or value is not valid UTF-8, or not a JSON value, or a number beyond the range of a double (1.8e308)"}
	}
	data, err := json.Marshal(members)
	if err != nil {
		return &RequestError{field, fmt.Sprintf("it cannot be written as JSON: %v", err)}
	}
	if _, err := ParseObject(data); err != nil {
		return &RequestError{field, fmt.Sprintf("it cannot be used: %v", err)}
	}
	return nil
}

// isJSON reports whether a value has one of JSON's types, all its strings are valid
// UTF-8, and a double can represent its numbers, as many programs do.
func isJSON(value any) bool {
	switch value := value.(type) {
	case nil, bool, float64, int, int64, uint64:
		return true
	case json.Number:
		_, err := value.Float64()
		return err == nil
	case string:
		return utf8.ValidString(value)
	case []string:
		return !slices.ContainsFunc(value, func(s string) bool { return !utf8.ValidString(s) })
	case []any:
		return !slices.ContainsFunc(value, func(v any) bool { return !isJSON(v) })
	case map[string]any:
		for name, member := range value {
			if !utf8.ValidString(name) || !isJSON(member) {
				return false
			}
		}
		return true
	default:
		return false
	}
}

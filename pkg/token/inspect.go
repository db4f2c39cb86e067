package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Unverified is what a token says of itself. Anybody could have written it: use it
// to look at a token, never to decide anything.
type Unverified struct {
	Verified  bool            `json:"verified"` // always false
	Header    json.RawMessage `json:"header,omitempty"`
	Claims    json.RawMessage `json:"claims,omitempty"`   // the payload, if it is JSON
	Payload   string          `json:"payload,omitempty"`  // the payload, if it is not
	Signature int             `json:"signature_bytes"`    // its length
	Problems  []string        `json:"problems,omitempty"` // what a strict reader refuses, most basic first
}

// Inspect decodes a token without any verification. It shows as much of a broken
// token as can be read (padding and the standard alphabet are forgiven) and says in
// Problems what is wrong with it. JSON is given as it stands, repeated names and all.
func Inspect(compact string) Unverified {
	var u Unverified
	if len(compact) > DefaultMaxSize {
		u.problem(fmt.Errorf("the token has %d bytes, the limit is %d: nothing was decoded", len(compact), DefaultMaxSize))
		return u
	}
	parts, err := Split(compact, 0)
	if err != nil {
		u.problem(err)
		parts = salvage(compact)
	}
	u.Signature = len(parts.Signature)
	u.Header = rawJSON(parts.Header)
	if u.Claims = rawJSON(parts.Payload); u.Claims == nil {
		u.Payload = strings.ToValidUTF8(string(parts.Payload), "\ufffd")
	}
	if len(parts.Header) > 0 {
		if header, err := ParseHeader(parts.Header); err != nil {
			u.problem(err)
		} else if _, err := header.Algorithm(nil); err != nil {
			u.problem(err)
		}
	}
	if len(parts.Payload) > 0 {
		_, err := ParseClaims(parts.Payload)
		u.problem(err)
	}
	return u
}

// problem adds err, if there is one.
func (u *Unverified) problem(err error) {
	if err != nil {
		u.Problems = append(u.Problems, err.Error())
	}
}

// salvage decodes what it can of a text that Split refused. The parts of an
// encrypted token beyond its header mean nothing to us.
func salvage(compact string) Parts {
	segments := strings.Split(compact, ".")
	parts := Parts{Header: lenient(segments[0])}
	if len(segments) == 5 {
		return parts
	}
	if len(segments) > 1 {
		parts.Payload = lenient(segments[1])
	}
	if len(segments) > 2 {
		parts.Signature = lenient(segments[2])
	}
	return parts
}

// lenient decodes base64 in any of its spellings up to the first byte that is none.
func lenient(segment string) []byte {
	segment = strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(strings.TrimSpace(segment))
	decoded := make([]byte, base64.RawURLEncoding.DecodedLen(len(segment)))
	n, _ := base64.RawURLEncoding.Decode(decoded, []byte(segment)) // what came before an error is kept
	return decoded[:n]
}

// rawJSON returns data if it is JSON that can be shown, else nil.
func rawJSON(data []byte) json.RawMessage {
	if data = bytes.TrimSpace(data); !json.Valid(data) || !utf8.Valid(data) {
		return nil
	}
	return data
}

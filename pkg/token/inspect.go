package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Unverified is a decoded token whose signature was not checked, so anybody may have
// written it. Use it to display a token, never to decide anything.
type Unverified struct {
	Verified  bool            `json:"verified"` // always false
	Header    json.RawMessage `json:"header,omitempty"`
	Claims    json.RawMessage `json:"claims,omitempty"`   // the payload, if it is JSON
	Payload   string          `json:"payload,omitempty"`  // the payload, if it is not
	Signature int             `json:"signature_bytes"`    // length of the signature
	Problems  []string        `json:"problems,omitempty"` // what a Verifier would refuse, encoding first
}

// Inspect decodes a token without verifying it. It decodes as much of a broken token
// as it can, padding and the standard base64 alphabet included, and lists in Problems
// what is wrong. JSON is returned unchanged, duplicate names included, except that <, >
// and & replace their escapes, which many issuers write.
func Inspect(compact string) Unverified {
	var u Unverified
	if len(compact) > DefaultMaxSize {
		u.problem(fmt.Errorf("the token has %d bytes, the limit is %d: nothing was decoded", len(compact), DefaultMaxSize))
		return u
	}
	parts, err := Split(compact, 0)
	if err != nil {
		u.problem(err)
		parts = decodeLeniently(compact)
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

// problem adds err unless it is nil.
func (u *Unverified) problem(err error) {
	if err != nil {
		u.Problems = append(u.Problems, err.Error())
	}
}

// decodeLeniently decodes what it can of a token that Split refused. Of an encrypted
// token, only the header is readable.
func decodeLeniently(compact string) Parts {
	segments := strings.Split(compact, ".")
	parts := Parts{Header: decodeBase64(segments[0])}
	if len(segments) == 5 {
		return parts
	}
	if len(segments) > 1 {
		parts.Payload = decodeBase64(segments[1])
	}
	if len(segments) > 2 {
		parts.Signature = decodeBase64(segments[2])
	}
	return parts
}

// decodeBase64 decodes base64 in either alphabet, with or without padding, up to the
// first invalid byte.
func decodeBase64(segment string) []byte {
	segment = strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(strings.TrimSpace(segment))
	decoded := make([]byte, base64.RawURLEncoding.DecodedLen(len(segment)))
	n, _ := base64.RawURLEncoding.Decode(decoded, []byte(segment)) // keep what precedes an error
	return decoded[:n]
}

// rawJSON returns data if it is valid JSON and UTF-8, else nil. encoding/json, and so
// Mint, escapes <, > and &, for HTML: the characters themselves are easier to read.
func rawJSON(data []byte) json.RawMessage {
	if data = bytes.TrimSpace(data); !json.Valid(data) || !utf8.Valid(data) {
		return nil
	}
	unescape := strings.NewReplacer(
		`\\`, `\\`, // so that the u after an escaped backslash begins no escape
		`\u003c`, "<", `\u003C`, "<", `\u003e`, ">", `\u003E`, ">", `\u0026`, "&",
	)
	return json.RawMessage(unescape.Replace(string(data)))
}

package token

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// DefaultMaxSize is the longest token, in bytes, that is read or minted unless a
// caller says otherwise.
const DefaultMaxSize = 64 << 10

// Parts are the three parts of a compact JWS, decoded.
type Parts struct {
	Input     string // header and payload as they were received: what is signed
	Header    []byte
	Payload   []byte
	Signature []byte
}

// Split takes a compact JWS apart (RFC 7515, section 7.1) and decodes its parts.
// It refuses more than maxSize bytes (0 means DefaultMaxSize) before it decodes
// any, and everything but unpadded base64url in its one canonical spelling. Payload
// and signature may be empty: what that means is for later layers to say.
func Split(compact string, maxSize int) (Parts, error) {
	if maxSize == 0 {
		maxSize = DefaultMaxSize
	}
	if len(compact) > maxSize {
		return Parts{}, &Refusal{
			Reason:  ReasonTooLarge,
			Message: fmt.Sprintf("the token has %d bytes, the limit is %d", len(compact), maxSize),
			Hint:    "carry large claims elsewhere, or raise the limit",
		}
	}
	header, rest, found := strings.Cut(compact, ".")
	payload, signature, foundAll := strings.Cut(rest, ".")
	if !found || !foundAll || strings.Contains(signature, ".") || header == "" || header[0] == '{' {
		return Parts{}, notCompact(compact, strings.Count(compact, ".")+1)
	}
	// One array for all three parts, each with no room to grow into the next.
	encoding := base64.RawURLEncoding.Strict()
	decoded := make([]byte, 0, encoding.DecodedLen(len(compact)))
	parts := Parts{Input: compact[:len(header)+1+len(payload)]}
	for _, part := range [...]struct {
		name, segment string
		to            *[]byte
	}{{"header", header, &parts.Header}, {"payload", payload, &parts.Payload}, {"signature", signature, &parts.Signature}} {
		start := len(decoded)
		var err error
		if decoded, err = decodeSegment(encoding, decoded, part.name, part.segment); err != nil {
			return Parts{}, err
		}
		*part.to = decoded[start:len(decoded):len(decoded)]
	}
	return parts, nil
}

// notCompact says what a text that is not a compact JWS seems to be.
func notCompact(compact string, segments int) error {
	switch {
	case strings.HasPrefix(strings.TrimLeft(compact, " \t\r\n"), "{"):
		return &Refusal{
			Reason:  ReasonJSONForm,
			Message: "the token is a JSON object",
			Hint:    "a JWT is always in the compact form, three parts joined by dots",
		}
	case segments != 3 && strings.ContainsAny(strings.TrimSpace(compact), " \t\r\n"):
		return &Refusal{
			Reason:  ReasonNotCompact,
			Message: "there is white space in the token",
			Hint:    "give one token, and nothing else",
		}
	case segments == 5:
		return &Refusal{
			Reason:  ReasonEncrypted,
			Message: "the token has five parts, as an encrypted one has (JWE)",
			Hint:    "decrypt it first, or ask for a signed one",
		}
	case segments == 3:
		return &Refusal{Reason: ReasonNotCompact, Message: "the header is empty", Hint: "check that the token was copied whole"}
	default:
		return &Refusal{
			Reason:  ReasonNotCompact,
			Message: fmt.Sprintf("the token does not have three parts joined by dots but %d", segments),
			Hint:    "check that it was copied whole",
		}
	}
}

// decodeSegment appends what canonical base64url says. Go's decoder passes over CR and LF
// even when strict, which would give one token many spellings.
func decodeSegment(encoding *base64.Encoding, to []byte, name, segment string) ([]byte, error) {
	if strings.IndexByte(segment, '\r') >= 0 || strings.IndexByte(segment, '\n') >= 0 {
		return nil, &Refusal{
			Reason:  ReasonEncoding,
			Message: "there is a line break in the " + name,
			Hint:    "join the lines, and strip what follows the token",
		}
	}
	decoded, err := encoding.AppendDecode(to, []byte(segment))
	if err == nil {
		return decoded, nil
	}
	hint := "only A-Z a-z 0-9 - and _ may occur, and spare bits must be zero"
	switch {
	case strings.Contains(segment, "="):
		hint = "leave out the padding (=)"
	case strings.ContainsAny(segment, "+/"):
		hint = "write - for + and _ for /"
	}
	return nil, &Refusal{
		Reason:  ReasonEncoding,
		Message: "the " + name + " is not base64url as a JWS has it",
		Hint:    hint,
	}
}

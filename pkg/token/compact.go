package token

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// DefaultMaxSize is the default limit of a token's length, in bytes. Mint makes no
// longer token.
const DefaultMaxSize = 64 << 10

// Parts are the three parts of a compact JWS, decoded.
type Parts struct {
	Input     string // what is signed: the encoded header and payload
	Header    []byte
	Payload   []byte
	Signature []byte
}

// Split splits a compact JWS (RFC 7515, section 7.1) and decodes its parts. It refuses
// a token of more than maxSize bytes (0 means DefaultMaxSize), and any encoding except
// canonical unpadded base64url. Payload and signature may be empty.
func Split(compact string, maxSize int) (Parts, error) {
	if maxSize == 0 {
		maxSize = DefaultMaxSize
	}
	if len(compact) > maxSize {
		return Parts{}, &Refusal{
			Reason:  ReasonTooLarge,
			Message: fmt.Sprintf("the token has %d bytes, the limit is %d", len(compact), maxSize),
			Hint:    "keep large data outside of the token, or raise the limit",
		}
	}
	header, rest, _ := strings.Cut(compact, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	if segments := strings.Count(compact, ".") + 1; segments != 3 || header == "" || header[0] == '{' {
		return Parts{}, notCompact(compact, segments)
	}
	parts := Parts{Input: compact[:len(header)+1+len(payload)]}
	for _, part := range [...]struct {
		name, segment string
		decoded       *[]byte
	}{{"header", header, &parts.Header}, {"payload", payload, &parts.Payload}, {"signature", signature, &parts.Signature}} {
		var err error
		if *part.decoded, err = decodeSegment(part.name, part.segment); err != nil {
			return Parts{}, err
		}
	}
	return parts, nil
}

// notCompact returns the refusal of a text that is not a compact JWS.
func notCompact(compact string, segments int) error {
	switch {
	case strings.HasPrefix(strings.TrimLeft(compact, " \t\r\n"), "{"):
		return &Refusal{
			Reason:  ReasonJSONForm,
			Message: "the token is a JSON object",
			Hint:    "pass the compact form: three parts joined by dots",
		}
	case segments != 3 && strings.ContainsAny(strings.TrimSpace(compact), " \t\r\n"):
		return &Refusal{
			Reason:  ReasonNotCompact,
			Message: "the token contains white space",
			Hint:    "pass one token, and nothing else",
		}
	case segments == 5:
		return &Refusal{
			Reason:  ReasonEncrypted,
			Message: "the token is encrypted (JWE): it has five parts",
			Hint:    "decrypt it first, or ask for a signed token",
		}
	case segments == 3:
		return &Refusal{Reason: ReasonNotCompact, Message: "the header is empty", Hint: "check that it was copied whole"}
	default:
		return &Refusal{
			Reason:  ReasonNotCompact,
			Message: fmt.Sprintf("the token has %d parts, not three joined by dots", segments),
			Hint:    "check that it was copied whole",
		}
	}
}

// decodeSegment decodes canonical base64url. It refuses line breaks itself, because
// encoding/base64 ignores them even when strict.
func decodeSegment(name, segment string) ([]byte, error) {
	if strings.ContainsAny(segment, "\r\n") {
		return nil, &Refusal{
			Reason:  ReasonEncoding,
			Message: "the " + name + " contains a line break",
			Hint:    "join the lines, and remove what follows the token",
		}
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err == nil {
		return decoded, nil
	}
	hint := "use only A-Z a-z 0-9 - and _, and set unused bits to zero"
	if strings.ContainsAny(segment, "=+/") {
		// The signature is over the text of header and payload, so that changing it does
		// not repair the token.
		hint = "have the issuer write base64url without padding (RFC 7515, section 2)"
	}
	return nil, &Refusal{
		Reason:  ReasonEncoding,
		Message: "the " + name + " is not unpadded base64url",
		Hint:    hint,
	}
}

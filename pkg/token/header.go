package token

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Header is a JOSE header (RFC 7515, section 4) with what a verifier may believe
// of it before the signature is checked: which key and algorithm to try.
type Header struct {
	KeyID   string         // kid, "" if there is none
	Members map[string]any // all of it; numbers are json.Number
}

// ParseHeader reads the header of a JWS. It refuses anything but one sound JSON
// object, the header of an encrypted token, and kid, typ or cty that is no string.
func ParseHeader(data []byte) (Header, error) {
	members, err := parseObject(data)
	if err != nil {
		return Header{}, &Refusal{
			Reason:  ReasonHeader,
			Message: fmt.Sprintf("the header cannot be used: %v", err),
			Hint:    "have the issuer write it as one JSON object that has one meaning",
		}
	}
	if _, ok := members["enc"]; ok {
		return Header{}, &Refusal{
			Reason:  ReasonEncrypted,
			Message: `the header has "enc", as an encrypted token has (JWE)`,
			Hint:    "decrypt it first, or ask for a signed one",
		}
	}
	for _, name := range [...]string{"kid", "typ", "cty"} {
		value, ok := members[name]
		if _, isText := value.(string); ok && !isText {
			return Header{}, &Refusal{
				Reason:  ReasonHeader,
				Message: fmt.Sprintf("the header cannot be used: %s is not a string", name),
				Hint:    "have the issuer write it as text",
			}
		}
	}
	kid, _ := members["kid"].(string)
	return Header{kid, members}, nil
}

// Algorithm returns the algorithm that the header names, if a signature by it can
// be verified at all: it must be in the table of pkg/jwk and, unless allowed is
// empty, among allowed, and the header must not ask for anything beyond it.
func (h Header) Algorithm(allowed []jwk.Algorithm) (jwk.Algorithm, error) {
	name, ok := h.Members["alg"].(string)
	if !ok {
		return "", &Refusal{
			Reason:  ReasonAlgMissing,
			Message: "the header has no alg that is a string",
			Hint:    "have the issuer set it",
		}
	}
	alg, err := jwk.ParseAlgorithm(name)
	switch {
	case strings.EqualFold(strings.TrimSpace(name), "none"):
		return "", &Refusal{
			Reason:  ReasonAlgNone,
			Message: fmt.Sprintf("the token is not signed: its alg is %s", quote(name)),
			Hint:    "only signed tokens are accepted",
		}
	case err != nil:
		return "", &Refusal{
			Reason:  ReasonAlgUnknown,
			Message: fmt.Sprintf("alg %s cannot be verified", quote(name)),
			Hint:    fmt.Sprintf("use one of %s", list(jwk.Algorithms())),
		}
	case len(allowed) > 0 && !slices.Contains(allowed, alg):
		return "", &Refusal{
			Reason:  ReasonAlgNotAllowed,
			Message: fmt.Sprintf("alg %s is not allowed", alg),
			Hint:    fmt.Sprintf("allowed is %s", list(allowed)),
		}
	}
	if err := h.extensions(); err != nil {
		return "", err
	}
	return alg, nil
}

// extensions refuses what changes the meaning of a JWS: no extension is known here,
// so any crit is one too many (RFC 7515, section 4.1.11).
func (h Header) extensions() error {
	for _, extension := range [...]struct {
		name   string
		reason Reason
		hint   string
	}{
		{"b64", ReasonB64, "a JWT is always base64url-encoded (RFC 7797, section 7)"},
		{"crit", ReasonCrit, "no extension is supported"},
		{"zip", ReasonZip, "a signed token is never compressed"},
	} {
		if _, ok := h.Members[extension.name]; ok {
			return &Refusal{
				Reason:  extension.reason,
				Message: fmt.Sprintf("the header has %q", extension.name),
				Hint:    extension.hint,
			}
		}
	}
	return nil
}

// list writes values for a message.
func list[T ~string](values []T) string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = string(value)
	}
	return strings.Join(texts, ", ")
}

// mediaType returns a typ or cty as it is compared: in lower case and without the
// prefix that may be left out (RFC 7515, section 4.1.9).
func mediaType(s string) string {
	s = strings.ToLower(s)
	if short, ok := strings.CutPrefix(s, "application/"); ok && !strings.Contains(short, "/") {
		return short
	}
	return s
}

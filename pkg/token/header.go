package token

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Header is a JOSE header (RFC 7515, section 4). Before the signature is verified, it
// may only be used to choose the key and algorithm.
type Header struct {
	KeyID   string         // kid, "" if absent
	Members map[string]any // all members; numbers are json.Number
}

// ParseHeader parses the header of a JWS. It refuses anything but one JSON object
// without duplicate names, the header of an encrypted token, and a kid, typ or cty
// that is not a string.
func ParseHeader(data []byte) (Header, error) {
	members, err := ParseObject(data)
	if err != nil {
		return Header{}, &Refusal{
			Reason:  ReasonHeader,
			Message: fmt.Sprintf("the header cannot be used: %v", err),
			Hint:    "have the issuer write it as one JSON object without duplicate names",
		}
	}
	if _, ok := members["enc"]; ok {
		return Header{}, &Refusal{
			Reason:  ReasonEncrypted,
			Message: `the token is encrypted (JWE): its header has "enc"`,
			Hint:    "decrypt it first, or ask for a signed token",
		}
	}
	for _, name := range [...]string{"kid", "typ", "cty"} {
		value, ok := members[name]
		if _, isString := value.(string); ok && !isString {
			return Header{}, &Refusal{
				Reason:  ReasonHeader,
				Message: fmt.Sprintf("the header cannot be used: %s is not a string", name),
				Hint:    "have the issuer write it as a string",
			}
		}
	}
	kid, _ := members["kid"].(string)
	return Header{kid, members}, nil
}

// Algorithm returns the alg of the header. It must be an algorithm of pkg/jwk and,
// unless allowed is empty, one of allowed. A header with crit, b64 or zip is refused.
func (h Header) Algorithm(allowed []jwk.Algorithm) (jwk.Algorithm, error) {
	name, ok := h.Members["alg"].(string)
	if !ok {
		return "", &Refusal{
			Reason:  ReasonAlgMissing,
			Message: "alg is missing, or not a string",
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
			Message: fmt.Sprintf("alg %s is not supported", quote(name)),
			Hint:    fmt.Sprintf("use one of %s", list(jwk.Algorithms())),
		}
	case len(allowed) > 0 && !slices.Contains(allowed, alg):
		return "", &Refusal{
			Reason:  ReasonAlgNotAllowed,
			Message: fmt.Sprintf("alg %s is not allowed", alg),
			Hint:    fmt.Sprintf("allowed: %s", list(allowed)),
		}
	}
	if err := h.refuseExtensions(); err != nil {
		return "", err
	}
	return alg, nil
}

// refuseExtensions refuses members that change how a JWS is read. No extension is
// supported, so that any crit is refused (RFC 7515, section 4.1.11).
func (h Header) refuseExtensions() error {
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

// list joins values for a message.
func list[T ~string](values []T) string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = string(value)
	}
	return strings.Join(texts, ", ")
}

// mediaType normalizes a typ or cty for comparison: lower case, without the optional
// prefix "application/" (RFC 7515, section 4.1.9).
func mediaType(s string) string {
	s = strings.ToLower(s)
	if short, ok := strings.CutPrefix(s, "application/"); ok && !strings.Contains(short, "/") {
		return short
	}
	return s
}

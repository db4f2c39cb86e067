package jwk

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
)

// canonical returns p as RFC 7518, section 6, writes it. Some providers write the same
// numbers in another way, which has one meaning too. The second result lists how p
// differs, for Lint.
func (p params) canonical() (params, []string, error) {
	var r reader
	switch p.KeyType {
	case typeRSA:
		p.N, p.E = r.number("n", p.N), r.number("e", p.E)
	case typeEC:
		size := coordinateSize(p.Curve)
		p.X, p.Y = r.fixed("x", p.X, size), r.fixed("y", p.Y, size)
	case typeOKP:
		p.X = base64.RawURLEncoding.EncodeToString(r.bytes("x", p.X))
	}
	return p, r.odd, r.err
}

// coordinateSize returns the length of a coordinate of a curve in octets (RFC 7518,
// section 6.2.1.2), 0 if the curve is unknown.
func coordinateSize(curve string) int {
	for _, s := range table() {
		if s.curve == curve {
			return (s.bits + 7) / 8
		}
	}
	return 0
}

// reader decodes members that are base64, and collects what is odd about them. It keeps
// the first error.
type reader struct {
	odd []string
	err error
}

func (r *reader) note(format string, args ...any) {
	r.odd = append(r.odd, fmt.Sprintf(format, args...))
}

// bytes decodes a member in either alphabet of base64, with or without padding and line
// breaks.
func (r *reader) bytes(name, text string) []byte {
	url := strings.NewReplacer("+", "-", "/", "_").Replace(text)
	if url != text {
		r.note("%s uses the standard alphabet of base64, not base64url", name)
	}
	line := strings.NewReplacer("\r", "", "\n", "").Replace(url)
	if line != url {
		r.note("%s has line breaks", name)
	}
	bare := strings.TrimRight(line, "=")
	if bare != line {
		r.note("%s has padding", name)
	}
	decoded, err := base64.RawURLEncoding.DecodeString(bare)
	switch {
	case err != nil && r.err == nil:
		r.err = fmt.Errorf("member %q is not base64url", name)
	case err == nil && base64.RawURLEncoding.EncodeToString(decoded) != bare:
		r.note("%s has unused bits that are not zero", name)
	}
	return decoded
}

// number returns a Base64urlUInt (RFC 7518, section 2), which has no leading zero octet.
func (r *reader) number(name, text string) string {
	data := r.bytes(name, text)
	trimmed := bytes.TrimLeft(data, "\x00")
	if len(trimmed) < len(data) {
		r.note("%s has a leading zero octet", name)
	}
	return base64.RawURLEncoding.EncodeToString(trimmed)
}

// fixed returns a number that has size octets, with leading zeros. With size 0, it only
// decodes the number.
func (r *reader) fixed(name, text string, size int) string {
	data := r.bytes(name, text)
	switch trimmed := bytes.TrimLeft(data, "\x00"); {
	case size == 0 || len(data) == size || len(data) == 0:
	case len(trimmed) > size:
		if r.err == nil {
			r.err = fmt.Errorf("member %q has %d octets, its curve has %d", name, len(data), size)
		}
	default:
		r.note("%s has %d octets and not %d", name, len(data), size)
		data = append(make([]byte, size-len(trimmed)), trimmed...)
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

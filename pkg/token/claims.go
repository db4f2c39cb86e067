package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// ParseClaims reads the payload of a JWT: one sound JSON object, nothing else
// (RFC 7519, section 7.2). Numbers are json.Number, so that none loses a digit.
func ParseClaims(payload []byte) (map[string]any, error) {
	claims, err := parseObject(payload)
	if err != nil {
		return nil, &Refusal{
			Reason:  ReasonPayload,
			Message: fmt.Sprintf("the claims cannot be used: %v", err),
			Hint:    "have the issuer write them as one JSON object that has one meaning",
		}
	}
	return claims, nil
}

// registered are the claims that this package gives a meaning.
func registered() [9]string {
	return [...]string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "client_id"}
}

// nearMiss returns the registered claim that name differs from in case only, as a
// careless reader would see it (encoding/json is one); "" if there is none.
func nearMiss(name string) string {
	if plain(name) {
		return "" // it is no other form of any name, for all of them are plain
	}
	for _, known := range registered() {
		if strings.EqualFold(name, known) {
			return known
		}
	}
	return ""
}

// plain says whether a name has neither capitals nor anything beyond ASCII.
func plain(name string) bool {
	for i := range len(name) {
		if c := name[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// maxDate is the last second of the year 9999. What lies behind is no date but a
// mistake; most often it counts milliseconds.
const maxDate = 253402300799

// numericDate reads a NumericDate (RFC 7519, section 2): seconds since 1970, which
// may have a fraction.
func numericDate(value any) (time.Time, error) {
	number, ok := value.(json.Number)
	if !ok {
		return time.Time{}, errors.New("is not a number of seconds")
	}
	if seconds, err := number.Int64(); err == nil && -maxDate <= seconds && seconds <= maxDate {
		return time.Unix(seconds, 0), nil
	}
	seconds, err := number.Float64()
	if err != nil || math.Abs(seconds) > maxDate {
		return time.Time{}, errors.New("is out of range")
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), nil
}

// texts reads a value that is a string or an array of strings, as aud is.
func texts(value any) ([]string, bool) {
	switch value := value.(type) {
	case string:
		return []string{value}, true
	case []any:
		all := make([]string, len(value))
		for i, element := range value {
			text, ok := element.(string)
			if !ok {
				return nil, false
			}
			all[i] = text
		}
		return all, len(all) > 0
	default:
		return nil, false
	}
}

// holds says whether a claim has the value that a caller wrote as text: a string as
// it is, a number or boolean as JSON writes it, an array if one element matches.
func holds(claim any, want string) bool {
	switch claim := claim.(type) {
	case string:
		return claim == want
	case json.Number:
		return claim.String() == want
	case bool:
		return fmt.Sprint(claim) == want
	case []any:
		for _, element := range claim {
			if _, nested := element.([]any); !nested && holds(element, want) {
				return true
			}
		}
	}
	return false
}

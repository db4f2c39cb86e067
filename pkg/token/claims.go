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

// ParseClaims parses the payload of a JWT: one JSON object without duplicate names
// (RFC 7519, section 7.2). Numbers are json.Number, which keeps every digit.
func ParseClaims(payload []byte) (map[string]any, error) {
	claims, err := ParseObject(payload)
	if err != nil {
		return nil, &Refusal{
			Reason:  ReasonPayload,
			Message: fmt.Sprintf("the claims cannot be used: %v", err),
			Hint:    "have the issuer write them as one JSON object without duplicate names",
		}
	}
	return claims, nil
}

// confusedClaim returns the claim that a case-insensitive JSON reader, such as
// encoding/json, would take name for; "" if name is exact or like no claim that this
// package checks.
func confusedClaim(name string) string {
	if name == strings.ToLower(name) && utf8.RuneCountInString(name) == len(name) {
		return "" // it has no letter of another case
	}
	for _, claim := range [...]string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "scp", "client_id"} {
		if name != claim && strings.EqualFold(name, claim) {
			return claim
		}
	}
	return ""
}

// maxDate is the last second of the year 9999. A later NumericDate is a mistake,
// most often a count of milliseconds.
const maxDate = 253402300799

// numericDate converts a NumericDate (RFC 7519, section 2): seconds since 1970, with
// an optional fraction.
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

// stringList converts a string or a non-empty array of strings, as aud is.
func stringList(value any) ([]string, bool) {
	switch value := value.(type) {
	case string:
		return []string{value}, true
	case []any:
		list := make([]string, len(value))
		for i, element := range value {
			text, ok := element.(string)
			if !ok {
				return nil, false
			}
			list[i] = text
		}
		return list, len(list) > 0
	default:
		return nil, false
	}
}

// matchesValue reports whether a claim equals a value that is given as text: a string
// unchanged, a number or boolean as in JSON. An array matches if one element does.
func matchesValue(claim any, value string) bool {
	switch claim := claim.(type) {
	case string:
		return claim == value
	case json.Number:
		return claim.String() == value
	case bool:
		return fmt.Sprint(claim) == value
	case []any:
		for _, element := range claim {
			if _, nested := element.([]any); !nested && matchesValue(element, value) {
				return true
			}
		}
	}
	return false
}

package token

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// object is a JSON object to be: header or claims.
type object []member

type member struct {
	name  string
	value any
}

// with adds the members of m. None of them is in the object already.
func (o object) with(m map[string]any) object {
	for name, value := range m {
		o = append(o, member{name, value})
	}
	return o
}

// encode sorts the members by name, so that the same members give the same JSON.
func (o object) encode() ([]byte, error) {
	slices.SortFunc(o, func(a, b member) int { return strings.Compare(a.name, b.name) })
	b := append(make([]byte, 0, 256), '{') // enough for most
	var err error
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendText(b, m.name); err != nil {
			return nil, err
		}
		b = append(b, ':')
		if b, err = appendValue(b, m.value); err != nil {
			return nil, fmt.Errorf("%q cannot be written as JSON: %v", m.name, err)
		}
	}
	return append(b, '}'), nil
}

// appendValue leaves to encoding/json what is not plain: its detour through
// reflection costs more than the values that almost every token is made of.
func appendValue(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case string:
		return appendText(b, v)
	default:
		data, err := json.Marshal(v)
		return append(b, data...), err
	}
}

func appendText(b []byte, text string) ([]byte, error) {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			data, err := json.Marshal(text)
			return append(b, data...), err
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"'), nil
}

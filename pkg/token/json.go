package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep objects and arrays may nest.
const maxDepth = 64

// errJSON is for breaks of the grammar that need no words of their own.
var errJSON = errors.New("it is not JSON")

// parseObject reads one JSON object so that it has one reading only (RFC 8259 in
// the bounds of RFC 7493): valid UTF-8, no byte order mark, unique names at every
// level, no halves of surrogate pairs, nothing but white space behind it.
// encoding/json lets all of these pass. Values are map[string]any, []any, string,
// json.Number, bool and nil.
func parseObject(data []byte) (map[string]any, error) {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return nil, errors.New("it starts with a byte order mark")
	case !utf8.Valid(data):
		return nil, errors.New("it is not valid UTF-8")
	}
	r := jsonReader{data: string(data)} // one copy, of which all names and values are parts
	if r.next() != '{' {
		return nil, errors.New("it is not a JSON object")
	}
	object, err := r.object(1)
	if err != nil {
		return nil, err
	}
	if r.next() != 0 || r.pos != len(data) {
		return nil, errors.New("something follows the JSON object")
	}
	return object, nil
}

// jsonReader is a cursor in data.
type jsonReader struct {
	data string
	pos  int
}

// next skips white space and returns the byte there, 0 at the end, without taking
// it. A zero byte itself is nowhere allowed, so nothing is confused.
func (r *jsonReader) next() byte {
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; c {
		case ' ', '\t', '\r', '\n':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

// take skips white space and takes c if it is there.
func (r *jsonReader) take(c byte) bool {
	if r.next() != c {
		return false
	}
	r.pos++
	return true
}

func (r *jsonReader) value(depth int) (any, error) {
	switch c := r.next(); c {
	case '{', '[':
		if depth > maxDepth {
			return nil, fmt.Errorf("it nests deeper than %d levels", maxDepth)
		}
		if c == '{' {
			return r.object(depth)
		}
		return r.array(depth)
	case '"':
		return r.text()
	case 't':
		return true, r.word("true")
	case 'f':
		return false, r.word("false")
	case 'n':
		return nil, r.word("null")
	default:
		return r.number()
	}
}

func (r *jsonReader) object(depth int) (map[string]any, error) {
	r.pos++ // the brace
	object := make(map[string]any)
	if r.take('}') {
		return object, nil
	}
	for {
		if r.next() != '"' {
			return nil, errJSON
		}
		name, err := r.text()
		if err != nil {
			return nil, err
		}
		if !r.take(':') {
			return nil, errJSON
		}
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		before := len(object)
		if object[name] = value; len(object) == before {
			return nil, fmt.Errorf("the name %s occurs twice", quote(name))
		}
		if r.take('}') {
			return object, nil
		}
		if !r.take(',') {
			return nil, errJSON
		}
	}
}

func (r *jsonReader) array(depth int) ([]any, error) {
	r.pos++ // the bracket
	array := []any{}
	if r.take(']') {
		return array, nil
	}
	for {
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
		if r.take(']') {
			return array, nil
		}
		if !r.take(',') {
			return nil, errJSON
		}
	}
}

func (r *jsonReader) word(word string) error {
	if !strings.HasPrefix(r.data[r.pos:], word) {
		return errJSON
	}
	r.pos += len(word)
	return nil
}

// number takes -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? and keeps its text,
// so that no digit is lost.
func (r *jsonReader) number() (json.Number, error) {
	start := r.pos
	r.any("-")
	if !r.any("0") && r.digits() == 0 {
		return "", errJSON
	}
	if r.any(".") && r.digits() == 0 {
		return "", errJSON
	}
	if r.any("eE") {
		r.any("+-")
		if r.digits() == 0 {
			return "", errJSON
		}
	}
	return json.Number(r.data[start:r.pos]), nil
}

// any takes one byte that is among chars, without skipping white space.
func (r *jsonReader) any(chars string) bool {
	if r.pos == len(r.data) || strings.IndexByte(chars, r.data[r.pos]) < 0 {
		return false
	}
	r.pos++
	return true
}

// digits takes as many digits as there are and returns how many.
func (r *jsonReader) digits() int {
	start := r.pos
	for r.pos < len(r.data) && '0' <= r.data[r.pos] && r.data[r.pos] <= '9' {
		r.pos++
	}
	return r.pos - start
}

// text takes a string; the cursor is at its quotation mark.
func (r *jsonReader) text() (string, error) {
	r.pos++
	start := r.pos
	var unescaped []byte // what came before start; nil while no escape was met
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; {
		case c == '"':
			end := r.pos
			r.pos++
			if unescaped == nil {
				return r.data[start:end], nil
			}
			return string(append(unescaped, r.data[start:end]...)), nil
		case c < ' ':
			return "", errors.New("it has a bare control character in a string")
		case c == '\\':
			unescaped = append(unescaped, r.data[start:r.pos]...)
			char, err := r.escape()
			if err != nil {
				return "", err
			}
			unescaped = utf8.AppendRune(unescaped, char)
			start = r.pos
		default:
			r.pos++
		}
	}
	return "", errJSON
}

// escape takes an escape sequence, surrogate pairs as one.
func (r *jsonReader) escape() (rune, error) {
	if r.pos+1 == len(r.data) {
		return 0, errJSON
	}
	const letters, meanings = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if i := strings.IndexByte(letters, r.data[r.pos+1]); i >= 0 {
		r.pos += 2
		return rune(meanings[i]), nil
	}
	char, ok := r.unicode()
	if !ok {
		return 0, errJSON
	}
	if !utf16.IsSurrogate(char) {
		return char, nil
	}
	low, _ := r.unicode()
	if char = utf16.DecodeRune(char, low); char == utf8.RuneError {
		return 0, errors.New("it has one half of a surrogate pair")
	}
	return char, nil
}

// unicode takes a backslash, u and four hexadecimal digits.
func (r *jsonReader) unicode() (rune, bool) {
	const length = len(`\u0000`)
	if len(r.data)-r.pos < length || r.data[r.pos] != '\\' || r.data[r.pos+1] != 'u' {
		return 0, false
	}
	code, err := strconv.ParseUint(r.data[r.pos+2:r.pos+length], 16, 16)
	if err != nil {
		return 0, false
	}
	r.pos += length
	return rune(code), true
}

package token

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const byteOrderMark = "\ufeff"

// maxDepth is how many levels objects and arrays may nest.
const maxDepth = 64

// ParseObject reads one JSON object as I-JSON (RFC 7493) demands: valid UTF-8, no
// byte order mark, unique names at every level, no unpaired surrogates, and nothing
// but white space after it. Values are map[string]any, []any, string, json.Number,
// bool and nil.
func ParseObject(data []byte) (map[string]any, error) {
	if kind := jsontext.Value(bytes.TrimPrefix(data, []byte(byteOrderMark))).Kind(); kind != jsontext.KindBeginObject && utf8.Valid(data) {
		return nil, errors.New("it is not a JSON object")
	}
	parsed, err := ParseValue(data)
	object, _ := parsed.(map[string]any)
	return object, err
}

// ParseValue is ParseObject for a JSON value of any kind.
func ParseValue(data []byte) (any, error) {
	switch {
	case bytes.HasPrefix(data, []byte(byteOrderMark)):
		return nil, errors.New("it starts with a byte order mark")
	case !utf8.Valid(data):
		return nil, errors.New("it is not valid UTF-8")
	}
	var v value
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, jsonError(err)
	}
	return v.any, nil
}

// value is a JSON value as ParseValue returns it.
type value struct{ any }

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (v *value) UnmarshalJSONFrom(decoder *jsontext.Decoder) (err error) {
	v.any, err = readValue(decoder)
	return err
}

// readValue reads the next value.
func readValue(decoder *jsontext.Decoder) (any, error) {
	next, err := decoder.ReadToken()
	if err != nil {
		return nil, err
	}
	if decoder.StackDepth() > maxDepth {
		return nil, fmt.Errorf("it nests deeper than %d levels", maxDepth)
	}
	switch next.Kind() {
	case jsontext.KindBeginObject:
		return readObject(decoder)
	case jsontext.KindBeginArray:
		return readArray(decoder)
	case jsontext.KindString:
		return next.String(), nil
	case jsontext.KindNumber:
		return stdjson.Number(next.String()), nil // keeps every digit
	case jsontext.KindNull:
		return nil, nil
	default:
		return next.Bool(), nil
	}
}

// readObject reads what follows the opening brace.
func readObject(decoder *jsontext.Decoder) (map[string]any, error) {
	object := make(map[string]any)
	for decoder.PeekKind() != jsontext.KindEndObject {
		next, err := decoder.ReadToken()
		if err != nil {
			return nil, err
		}
		name := next.String()
		if object[name], err = readValue(decoder); err != nil {
			return nil, err
		}
	}
	_, err := decoder.ReadToken()
	return object, err
}

// readArray reads what follows the opening bracket.
func readArray(decoder *jsontext.Decoder) ([]any, error) {
	array := []any{}
	for decoder.PeekKind() != jsontext.KindEndArray {
		element, err := readValue(decoder)
		if err != nil {
			return nil, err
		}
		array = append(array, element)
	}
	_, err := decoder.ReadToken()
	return array, err
}

// jsonError says what jsontext found, without the text around it: that text may be secret.
func jsonError(err error) error {
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		return semantic.Err // of readValue
	}
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case !ok:
		return err
	case errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Errorf("the name %s occurs twice", quote(syntax.JSONPointer.LastToken()))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it is incomplete")
	default:
		return fmt.Errorf("it is not valid JSON at byte %d", syntax.ByteOffset)
	}
}

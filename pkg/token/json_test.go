package token_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/token"
)

// TestParseClaims covers every JSON type, escapes, white space and the deepest nesting.
func TestParseClaims(t *testing.T) {
	const text = " {\"a\" : {\"b\":[1,-0.5e+3,12345678901234567890.10,true,false,null,{},[ ]]},\r\n\t" +
		`"n\u0061me":"Zo\u00eb \ud83d\ude00 日本 \"\\\/\b\f\n\r\t"}` + "\n"
	want := map[string]any{
		"a": map[string]any{"b": []any{
			json.Number("1"), json.Number("-0.5e+3"), json.Number("12345678901234567890.10"), true, false, nil, map[string]any{}, []any{},
		}},
		"name": "Zoë \U0001f600 日本 \"\\/\b\f\n\r\t",
	}
	got, err := token.ParseClaims([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	for _, deepest := range []string{nested("[", 63, "]"), nested(`{"a":`, 63, "}")} {
		if _, err := token.ParseClaims([]byte(deepest)); err != nil {
			t.Errorf("64 levels: %v", err)
		}
	}
}

// nested returns an object that contains so many arrays or objects, one in the other.
func nested(start string, levels int, end string) string {
	inner := "0"
	if start == "[" {
		inner = ""
	}
	return `{"a":` + strings.Repeat(start, levels) + inner + strings.Repeat(end, levels) + "}"
}

func TestParseClaimsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "it is not a JSON object",
		"null":                                "it is not a JSON object",
		"[{}]":                                "it is not a JSON object",
		"secret":                              "it is not a JSON object",
		"\xef\xbb\xbf{}":                      "it starts with a byte order mark",
		"{\"a\":\"secret\xff\"}":              "it is not valid UTF-8",
		"{\"a\":\"\xc0\xaf\"}":                "it is not valid UTF-8",
		`{"a":"secret\ud800"}`:                "it is not valid JSON at byte 12",
		`{"a":"\udc00\ud800"}`:                "it is not valid JSON at byte 6",
		`{"a":1,"a":2}`:                       `the name "a" occurs twice`,
		`{"a":1,"\u0061":2}`:                  `the name "a" occurs twice`,
		`{"x":[{"b":1,"b":2}]}`:               `the name "b" occurs twice`,
		`{"a":"secret"}{}`:                    "it is not valid JSON at byte 14",
		`{}secret`:                            "it is not valid JSON at byte 2",
		"{}\x00":                              "it is not valid JSON at byte 2",
		`{"a":"secret"`:                       "it is incomplete",
		`{"a":[1`:                             "it is incomplete",
		`{"a":"\`:                             "it is incomplete",
		`{"a":"\x"}`:                          "it is not valid JSON at byte 6",
		"{\"a\":\"secret\n\"}":                "it is not valid JSON at byte 12",
		`{"a":1,}`:                            "it is not valid JSON at byte 6",
		`{"a":}`:                              "it is not valid JSON at byte 5",
		`{"a" 1}`:                             "it is not valid JSON at byte 5",
		`{a:1}`:                               "it is not valid JSON at byte 1",
		`{"a":01}`:                            "it is not valid JSON at byte 6",
		`{"a":1.}`:                            "it is not valid JSON at byte 7",
		`{"a":+1}`:                            "it is not valid JSON at byte 5",
		`{"a":NaN}`:                           "it is not valid JSON at byte 5",
		nested("[", 64, "]"):                  "it nests deeper than 64 levels",
		nested(`{"a":`, 64, "}"):              "it nests deeper than 64 levels",
		`{"a":` + strings.Repeat("[", 60_000): "it nests deeper than 64 levels",
	} {
		_, err := token.ParseClaims([]byte(text))
		if want = "the claims cannot be used: " + want; reasonOf(t, err) != token.ReasonPayload || !strings.HasPrefix(err.Error(), want+": have the issuer") {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
	if _, err := token.ParseHeader([]byte(`{"alg":"a","\u0061lg":"none"}`)); reasonOf(t, err) != token.ReasonHeader {
		t.Errorf("header with a name twice: %v", err)
	}
}

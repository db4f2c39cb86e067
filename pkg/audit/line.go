package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxText = 1024 // bytes of one text; a SPIFFE ID may have 2048, and those in use are far shorter
	maxList = 16   // texts of one list
	cutMark = "…"

	timeFormat = "2006-01-02T15:04:05.000Z" // RFC 3339 in UTC
)

// tokenPattern matches a compact JWS or JWE, whose header begins with a brace and a quote,
// with white space between them or not.
func tokenPattern() *regexp.Regexp {
	return regexp.MustCompile(`\be(?:yJ|yA|wo|w0|wk)[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_.-]*`)
}

// line is the event as one line of the log.
func (l *Log) line(e Event) ([]byte, error) {
	for _, text := range e.texts() {
		*text = l.clean(*text)
	}
	e.Audience = l.cleanList(e.Audience)
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(struct {
		Time string `json:"time"` // in place of that of Event
		Event
	}{e.Time.UTC().Format(timeFormat), e})
	if err != nil {
		return nil, err
	}
	return append(escape(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), '\n'), nil
}

// clean removes tokens from a text, and limits its length.
func (l *Log) clean(text string) string {
	text = l.token.ReplaceAllString(text, "(token)")
	if len(text) > maxText {
		end := maxText
		for end > maxText-utf8.UTFMax && !utf8.RuneStart(text[end]) { // keep characters whole
			end--
		}
		text = text[:end] + cutMark
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

func (l *Log) cleanList(list []string) []string {
	var out []string
	for i, text := range list {
		if i == maxList {
			return append(out, cutMark)
		}
		out = append(out, l.clean(text))
	}
	return out
}

// escape replaces every character of a JSON text that is not printable. Such a character
// can only be inside a string, where its escape means the same.
func escape(text []byte) []byte {
	out := make([]byte, 0, len(text)+1)
	for _, r := range string(text) {
		if unicode.IsPrint(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}

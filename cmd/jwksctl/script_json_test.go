package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// jsonMember looks up a member of a JSON file, or of stdout or stderr. A path
// is names and indexes joined by dots; len is how many members there are.
//
//	json stdout claims.aud.0 api   the member has this text
//	json stdout keys.len 2
//	json stdout kid -> KID         sets the variable to its text
//	! json stdout claims           there is no such member
//
// A file of several JSON values, such as a log, counts as an array of them.
func jsonMember(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: json FILE PATH [TEXT | -> VARIABLE]")
	}
	got, err := member(ts.ReadFile(args[0]), args[1])
	switch {
	case neg && err == nil:
		ts.Fatalf("%s has %s: %s", args[0], args[1], got)
	case neg:
	case err != nil:
		ts.Fatalf("%s: %v", args[0], err)
	case len(args) == 4 && args[2] == "->":
		ts.Setenv(args[3], got)
	case len(args) == 3 && got != args[2]:
		ts.Fatalf("%s is %q, want %q", args[1], got, args[2])
	}
}

// member returns the text of the member at a path: a string as it is, anything else as
// compact JSON.
func member(text, path string) (string, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var values []any
	for d.More() {
		var v any
		if err := d.Decode(&v); err != nil {
			return "", fmt.Errorf("not JSON: %v", err)
		}
		values = append(values, v)
	}
	var value any = values
	if len(values) == 1 {
		value = values[0]
	}
	for name := range strings.SplitSeq(path, ".") {
		child, ok := childOf(value, name)
		if !ok {
			return "", fmt.Errorf("there is no %s (looking for %s)", name, path)
		}
		value = child
	}
	if s, ok := value.(string); ok {
		return s, nil
	}
	compact, err := json.Marshal(value)
	return string(compact), err
}

func childOf(value any, name string) (any, bool) {
	switch value := value.(type) {
	case map[string]any:
		if v, ok := value[name]; ok || name != "len" {
			return v, ok
		}
		return len(value), true
	case []any:
		if name == "len" {
			return len(value), true
		}
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= len(value) {
			return nil, false
		}
		return value[i], true
	}
	return nil, false
}

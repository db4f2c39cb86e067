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
//	json stdout kid -> KID         the variable takes its text
//	! json stdout claims           there is no such member
//
// A file of lines, such as a log, is an array of them.
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

// member finds the member that a path names and gives its text, which is
// compact JSON unless it is a string.
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
	var at any = values
	if len(values) == 1 {
		at = values[0]
	}
	for name := range strings.SplitSeq(path, ".") {
		next, ok := step(at, name)
		if !ok {
			return "", fmt.Errorf("there is no %s (looking for %s)", name, path)
		}
		at = next
	}
	if s, ok := at.(string); ok {
		return s, nil
	}
	compact, err := json.Marshal(at)
	return string(compact), err
}

func step(at any, name string) (any, bool) {
	switch at := at.(type) {
	case map[string]any:
		if v, ok := at[name]; ok || name != "len" {
			return v, ok
		}
		return len(at), true
	case []any:
		if name == "len" {
			return len(at), true
		}
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= len(at) {
			return nil, false
		}
		return at[i], true
	}
	return nil, false
}

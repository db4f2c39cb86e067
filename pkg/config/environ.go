package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// readEnviron returns the settings' variables that are not empty, and a problem for
// each JWKSCTL_ variable that is not a setting.
func readEnviron(environ []string) (env map[string]string, problems []error) {
	known := []string{FileVariable}
	for _, s := range table() {
		known = append(known, s.env())
	}
	env = map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case !strings.HasPrefix(name, prefix), value == "", isService(name, value):
		case slices.Contains(known, name):
			env[name] = value
		default:
			problems = append(problems, &Error{
				Source: Source("env " + name),
				Err:    fmt.Errorf("no such setting%s", didYouMean(name, known)),
			})
		}
	}
	return env, problems
}

// isService reports whether Kubernetes or a container link set the variable, for a
// service with the name jwksctl or jwksctl-anything. JWKSCTL_PORT is a setting unless
// its value is an address.
func isService(name, value string) bool {
	if regexp.MustCompile(`^JWKSCTL_(\w+_)?PORT$`).MatchString(name) && regexp.MustCompile(`^(tcp|udp|sctp)://`).MatchString(value) {
		return true
	}
	return regexp.MustCompile(`^JWKSCTL_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`).MatchString(name)
}

// didYouMean is the end of a message about an unknown name: the most similar known
// name, if one is similar enough.
func didYouMean(name string, known []string) string {
	if hint := renamed(name); hint != "" {
		return hint
	}
	if near := Nearest(name, known); near != "" {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return "; see jwksctl help config for all settings"
}

// renamed is the end of a message about the earlier name of a setting, "" if it is none.
func renamed(name string) string {
	if strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, prefix)), "-", "_") != "seal_key_file" {
		return ""
	}
	return "; it is seal_key now: write file:PATH in place of PATH"
}

// Nearest returns the known name that is most similar to an unknown one, "" if none
// is similar enough.
func Nearest(name string, known []string) string {
	if renamed(name) != "" {
		name = name[:len(name)-len("_file")]
	}
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	best, least := "", min(1+len(strings.TrimPrefix(name, prefix))/3, 4)
	for _, k := range known {
		if d := distance(fold(name), fold(k)); d <= least {
			best, least = k, d-1
		}
	}
	return best
}

// distance is the Levenshtein distance: how many bytes to insert, delete or replace
// to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

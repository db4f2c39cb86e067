package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jwksctl/jwksctl/pkg/spelling"
)

// readEnviron returns the settings' variables that are not empty, and a problem for
// each JWKSCTL_ variable that is not a setting.
func readEnviron(environ []string) (env map[string]string, problems []error) {
	known := []string{FileVariable}
	for _, s := range table() {
		if !s.inFileOnly() {
			known = append(known, s.env())
		}
	}
	env = map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case !strings.HasPrefix(name, prefix), value == "", isService(name, value):
		case slices.Contains(known, name):
			env[name] = value
		default:
			problems = append(problems, &Error{Source: Source("env " + name), Err: unknownVariable(name, known)})
		}
	}
	return env, problems
}

func unknownVariable(name string, known []string) error {
	for _, s := range table() {
		if s.inFileOnly() && s.env() == name {
			return fmt.Errorf("%s is a list that only a settings file can have: write it there, and name the file in %s", s.key, FileVariable)
		}
	}
	return fmt.Errorf("no such setting%s", didYouMean(name, known))
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
// name, if one is similar enough. The prefix that all variables have does not count.
func didYouMean(name string, known []string) string {
	if hint := Renamed(name); hint != "" {
		return "; " + hint
	}
	name, isVariable := strings.CutPrefix(name, prefix)
	var names []string
	for _, k := range known {
		names = append(names, strings.TrimPrefix(k, prefix))
	}
	if near := spelling.Nearest(name, names); near != "" {
		if isVariable {
			near = prefix + near
		}
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return "; see jwksctl help config for all settings"
}

// Renamed is a hint at what has become of a setting or a flag that had another name, "" if
// it had none.
func Renamed(name string) string {
	if strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, prefix)), "-", "_") != "seal_key_file" {
		return ""
	}
	return "it is seal_key now: write file:PATH in place of PATH"
}

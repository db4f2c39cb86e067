package config

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// CheckPath refuses a path that only a shell would expand, such as ~/keys.db or
// $HOME/keys.db, and says which one was probably meant. environ has the form of
// os.Environ. A folder that really has the name ~ is ./~. It also refuses the content of
// a key file in place of its name, and does not repeat it.
func CheckPath(path string, environ []string) error {
	if strings.Contains(path, "\n") || strings.Contains(path, "-----BEGIN ") || strings.Contains(path, "jwksctl-seal-key-") {
		return errors.New("want the name of a file, not its content")
	}
	meant, unknown := path, false
	getenv := func(name string) string {
		for _, entry := range slices.Backward(environ) {
			if value, ok := strings.CutPrefix(entry, name+"="); ok && value != "" {
				return value
			}
		}
		unknown = true
		return ""
	}
	scheme := ""
	for _, s := range []string{"sqlite:", "file:", UnixPrefix} {
		if rest, ok := strings.CutPrefix(path, s); ok {
			scheme, path, meant = s, rest, rest
		}
	}
	if user, rest, _ := strings.Cut(path, "/"); user == "~" {
		meant = getenv("HOME") + "/" + rest
	} else if strings.HasPrefix(user, "~") && user != path {
		meant, unknown = "", true // the home directory of another user
	}
	meant = regexp.MustCompile(`\$(\w+|\{\w+\})`).ReplaceAllStringFunc(meant, func(variable string) string {
		return getenv(strings.Trim(variable, "${}"))
	})
	switch {
	case meant == path:
		return nil
	case unknown:
		return fmt.Errorf("%s%s: only a shell expands ~ and variables: write the path in full", scheme, path)
	}
	return fmt.Errorf("%s%s: only a shell expands ~ and variables: write %s%s", scheme, path, scheme, cmp.Or(strings.TrimSuffix(meant, "/"), "/"))
}

// path returns the value of a setting that is a path, or names the file of a store, of the
// sealing keys or of a socket.
func (s setting) path(c *Config) (path string, ok bool) {
	switch s.key {
	case "host":
		return c.Host, strings.HasPrefix(c.Host, UnixPrefix)
	case "tls_cert":
		return c.TLSCert, true
	case "tls_key":
		return c.TLSKey, true
	case "ready_file":
		return c.ReadyFile, true
	case "audit_log":
		return c.AuditLog, true
	case "seal_key":
		return c.SealKey, strings.HasPrefix(c.SealKey, "file:")
	case "store":
		return c.Store, strings.HasPrefix(c.Store, "sqlite:")
	}
	return "", false
}

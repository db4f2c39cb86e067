package main

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
)

// withoutSecrets returns err, or another error in its place if its text contains an
// argument that is a key or a token. It is easy to write "$(cat key.pem)" where a command
// expects the name of a file, and errors end in logs.
func withoutSecrets(err error, args []string) error {
	for _, arg := range args {
		if name, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(name, "--") {
			arg = value
		}
		if isSecret(arg) && mentions(err.Error(), strings.TrimSpace(arg)) {
			return usageError{errors.New("an argument is a key or a token, which is not repeated here; keys are read from a file, or from standard input with -")}
		}
	}
	return err
}

// isSecret reports whether an argument is itself a key or a token: PEM, a JWK, a JWK Set,
// a compact JWS or JWE.
func isSecret(arg string) bool {
	return regexp.MustCompile(`-----BEGIN |^\s*\{.*"(kty|keys|k|d)"|(^|[\s"'=@])ey[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]*`).MatchString(arg)
}

// mentions reports whether a text contains the beginning of an argument, also in quotes.
func mentions(text, arg string) bool {
	beginning := arg[:min(16, len(arg))]
	return strings.Contains(text, beginning) || strings.Contains(text, strings.Trim(strconv.Quote(beginning), `"`))
}

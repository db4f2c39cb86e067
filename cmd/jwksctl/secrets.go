package main

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// withoutSecrets returns err, or another error in its place if its text contains an
// argument, or a variable of ours, that is a key or a token. It is easy to write
// "$(cat key.pem)" where a command expects the name of a file, and errors end in logs.
func withoutSecrets(err error, args, environ []string) error {
	given := slices.Clone(args)
	for _, arg := range args {
		if name, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(name, "--") {
			given = append(given, value) // beside the argument, because PEM has both "--" and "="
		}
	}
	for _, pair := range environ {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "JWKSCTL_") {
			given = append(given, value)
		}
	}
	for _, arg := range given {
		if isSecret(arg) && mentions(err.Error(), strings.TrimSpace(arg)) {
			return usageError{errors.New("an argument or a variable is a key or a token, which is not repeated here; keys are read from a file, or from standard input with -")}
		}
	}
	return err
}

// isSecret reports whether an argument is itself a key or a token: PEM, the base64 of a
// key in DER without the lines around it, a JWK, a JWK Set, a compact JWS or JWE, or the
// content of a sealing key file. jq and other tools write JSON on several lines.
func isSecret(arg string) bool {
	return regexp.MustCompile(`(?s)-----BEGIN |^[\s\x{feff}]*\{.*"(kty|keys|k|d)"|jwksctl-seal-key-|(^|[\s"'=@])M[A-Za-z0-9+/\s]{60,}=*\s*$|(^|[\s"'=@])ey[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]*`).MatchString(arg)
}

// mentions reports whether a text contains the beginning of an argument, also in quotes.
func mentions(text, arg string) bool {
	beginning := arg[:min(16, len(arg))]
	return strings.Contains(text, beginning) || strings.Contains(text, strings.Trim(strconv.Quote(beginning), `"`))
}

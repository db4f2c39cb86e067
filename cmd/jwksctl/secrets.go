package main

import (
	"regexp"
	"strconv"
	"strings"
)

// withoutSecrets returns err, or another error in its place if its text contains a key or
// a token, or the beginning of one that is an argument or a setting in the environment. It
// is easy to write "$(cat key.pem)" where a command expects the name of a file, and errors
// end in logs.
func withoutSecrets(err error, args, environ []string) error {
	text := err.Error()
	found := secretAt(text) >= 0
	for _, arg := range args {
		found = found || mentionsSecret(text, arg)
	}
	for _, pair := range environ {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "JWKSCTL_") {
			found = found || mentionsSecret(text, value)
		}
	}
	if !found {
		return err
	}
	return errSecret()
}

func errSecret() error {
	return badUsage("an argument or a setting is a key or a token, which is not repeated here; keys are read from a file, or from standard input with -")
}

// secretAt returns where a key or a token begins in a text, -1 if there is none: PEM, or a
// DER key in base64, as PEM has it between its first and its last line; a JWK or a JWK
// Set; a compact JWS or JWE, whose header begins with a brace and a quote, with white
// space or not; a sealing key; or the secret of a client. The quotes of JSON may be escaped.
func secretAt(text string) int {
	pattern := regexp.MustCompile(`(?s)(-----BEGIN )` +
		`|(?:^|[^A-Za-z0-9+/])(M[CHI][A-Za-z0-9+/]{58,})` +
		`|(\{.*\\?"(?:kty|keys|k|d)\\?"\s*:)` +
		`|(?:^|[^A-Za-z0-9_-])(e(?:yJ|yA|wo|w0|wk)[A-Za-z0-9_-]{6,}\.)` +
		`|(jwksctl-seal-key-[0-9]+ [A-Za-z0-9_-])` +
		`|(` + secretPrefix + `[A-Za-z0-9_-]{40,})`)
	match := pattern.FindStringSubmatchIndex(text)
	for group := 2; group < len(match); group += 2 {
		if match[group] >= 0 {
			return match[group]
		}
	}
	return -1
}

// mentionsSecret reports whether value has a secret, and text has its beginning, also in
// quotes.
func mentionsSecret(text, value string) bool {
	at := secretAt(value)
	if at < 0 {
		return false
	}
	beginning := value[at:min(at+16, len(value))]
	quoted := strconv.Quote(beginning)
	return strings.Contains(text, beginning) || strings.Contains(text, quoted[1:len(quoted)-1])
}

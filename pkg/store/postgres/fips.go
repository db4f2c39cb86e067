package postgres

import (
	"crypto/fips140"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// forbidMD5 makes a server that asks for an MD5 password an error if this process may use
// approved cryptography alone. pgx would panic there.
func forbidMD5(config *pgxpool.Config) error {
	if !fips140.Enforced() {
		return nil
	}
	required, err := withoutMD5(config.ConnConfig.RequireAuth)
	config.ConnConfig.RequireAuth = required
	return err
}

// withoutMD5 returns a value of require_auth that allows the same methods except md5: a list
// of methods, or of methods with an exclamation mark that are not allowed.
func withoutMD5(required string) (string, error) {
	methods := strings.FieldsFunc(required, func(r rune) bool { return r == ',' || r == ' ' })
	isMD5 := func(method string) bool { return strings.EqualFold(strings.TrimPrefix(method, "!"), "md5") }
	methods = slices.DeleteFunc(methods, isMD5)
	switch {
	case strings.Contains(required, "!"), required == "":
		methods = append(methods, "!md5")
	case len(methods) == 0:
		return "", errors.New("require_auth names md5 alone, which GODEBUG=fips140=only forbids: name scram-sha-256")
	}
	return strings.Join(methods, ","), nil
}

// isForbiddenMD5 reports whether a connection failed because of forbidMD5.
func isForbiddenMD5(err error) bool {
	return fips140.Enforced() && strings.Contains(err.Error(), "require_auth check failed") && strings.Contains(err.Error(), "md5")
}

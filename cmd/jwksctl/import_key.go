package main

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// importKeyFlag registers --import-key.
func importKeyFlag(f *pflag.FlagSet, name *string) {
	f.StringVar(name, "import-key", "", "private key that signs first if the store is empty: a FILE with PEM or a JWK, or -")
}

// keyToImport reads the key of --import-key; the zero value if the flag is not given.
func (a *app) keyToImport(f *pflag.FlagSet, name string, c config.Config) (jwk.PrivateKey, error) {
	if !f.Changed("import-key") {
		return jwk.PrivateKey{}, nil
	}
	if name == "" {
		return jwk.PrivateKey{}, badUsage("--import-key is empty") // it would generate another key
	}
	given, err := policySettings(c)
	if err != nil {
		return jwk.PrivateKey{}, err
	}
	data, err := a.read(strings.TrimPrefix(name, "@"))
	if err != nil {
		return jwk.PrivateKey{}, badUsage("--import-key: %v", err)
	}
	key, err := a.ownKey(given.Algorithm, data)
	if err != nil {
		return jwk.PrivateKey{}, badUsage("--import-key: %s: %v", name, err)
	}
	return key, nil
}

// checkImported refuses a keyset that exists and does not know the key of --import-key.
// One that knows it is what a restart finds, whatever has become of the key.
func checkImported(key jwk.PrivateKey, ks keys.Keyset) error {
	known := func(k keys.Key) bool { return k.KeyID() == key.KeyID() }
	if key.IsZero() || slices.ContainsFunc(slices.Concat(ks.Keys, ks.History), known) {
		return nil
	}
	return badUsage("--import-key: the store has a keyset already, without key %s: "+
		"use 'jwksctl keys import' to have that key sign next, or another store", key.KeyID())
}

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

// importKey reads the key of --import-key into n, if the flag is given.
func (a *app) importKey(f *pflag.FlagSet, name string, c config.Config, n *newKeyset) error {
	if !f.Changed("import-key") {
		return nil
	}
	if name == "" {
		return badUsage("--import-key is empty") // it would generate another key
	}
	given, err := policySettings(c)
	if err != nil {
		return err
	}
	data, err := a.read(strings.TrimPrefix(name, "@"))
	if err != nil {
		return badUsage("--import-key: %v", err)
	}
	if n.key, err = jwk.ParsePrivate(given.Algorithm, data); err == nil {
		err = n.key.CheckSign()
	}
	if err != nil {
		return badUsage("--import-key: %s: %v", name, err)
	}
	n.otherKid = otherKid(data, n.key)
	return nil
}

// otherKid returns the kid that a file has for a key, "" if it has none or the one that
// the key will have.
func otherKid(data []byte, key jwk.PrivateKey) string {
	given, err := jwk.Parse(data)
	if err != nil || given.KeyID() == key.KeyID() {
		return ""
	}
	return given.KeyID()
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

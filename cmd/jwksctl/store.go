package main

import (
	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store"
)

func (a *app) newStore() *cobra.Command {
	return group("store", "Check, copy, back up and restore the store",
		a.newStoreCheck(), a.newStoreCopy(), a.newStoreBackup(), a.newStoreRestore())
}

// storeOptions are the options of a command that moves sealed private keys and opens none.
func storeOptions(cfg settings, p places, s keys.Store) keys.Options {
	return keys.Options{Store: s, Witness: p.witness, Log: cfg.log}
}

// storeName is the name of the store for people. It contains no password.
func storeName(p places) string { return store.Name(p.store) }

package main

import "github.com/spf13/cobra"

func (a *app) newSeal() *cobra.Command {
	return group("seal", "Make and replace the key that seals private keys", a.newSealKey(), a.newSealRotate())
}

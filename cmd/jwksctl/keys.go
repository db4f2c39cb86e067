package main

import "github.com/spf13/cobra"

func (a *app) newKeys() *cobra.Command {
	return group("keys", "Show the keys and change which one signs",
		a.newKeysList(), a.newKeysShow(), a.newKeysRotate(), a.newKeysRevoke(), a.newKeysPlan(),
		a.newKeysImport(), a.newKeysExport(), a.newKeysAcceptRestore(), a.newKeysAcceptClock())
}

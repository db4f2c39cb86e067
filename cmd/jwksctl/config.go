package main

import "github.com/spf13/cobra"

func (a *app) newConfig() *cobra.Command {
	c := group("config", "Show the settings, or write a file of them", a.newConfigView(), a.newConfigInit())
	c.Long = configHelp() // so that 'help config' is the page about the file, too
	c.Example = "  jwksctl config view\n  jwksctl config init --out jwksctl.yaml"
	return c
}

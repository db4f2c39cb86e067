package main

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is what the build recorded: the module's version or the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v += "-" + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return v
}

func (a *app) newVersion() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  jwksctl version -o json",
		Args:    cobra.NoArgs,
	}
	outputFlag(c, &out, "text")
	c.RunE = a.run(func(context.Context, []string) error {
		if !out.json {
			a.print("jwksctl %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		}
		return a.printJSON(map[string]string{
			"version": version(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
		})
	})
	return c
}

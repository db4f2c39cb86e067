package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// outputFlag adds the flag -o. The formats are JSON and other, which is "json" if the
// command has no other.
func outputFlag(c *cobra.Command, to *output, other string) {
	to.other = other
	c.Flags().VarP(to, "output", "o", "output format: "+strings.Join(to.formats(), " or "))
	complete(c, "output", to.formats()...)
}

// output is the value of -o: json, or the other format of the command.
type output struct {
	json  bool
	other string
}

func (o *output) String() string {
	if o.json {
		return "json"
	}
	return o.other
}

func (o *output) Type() string { return "format" }

func (o *output) formats() []string {
	if o.other == "json" {
		return []string{"json"}
	}
	return []string{o.other, "json"}
}

func (o *output) Set(text string) error {
	if !slices.Contains(o.formats(), text) {
		return fmt.Errorf("want %s", strings.Join(o.formats(), " or "))
	}
	o.json = text == "json"
	return nil
}

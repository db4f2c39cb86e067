package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// newHelp is cobra's help command, except that an unknown topic is an error.
func (a *app) newHelp(root *cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use:   "help [COMMAND | TOPIC]",
		Short: "Help about a command, or one of the topics exit-codes, environment, config, key-states",
		Example: `  jwksctl help exit-codes
  jwksctl help keys rotate`,
	}
	c.RunE = func(_ *cobra.Command, args []string) error {
		command, rest, err := root.Find(args)
		if err != nil || len(rest) > 0 {
			if len(rest) == 0 {
				command, rest = root, args
			}
			return noCommand(command, rest)
		}
		a.started = true
		command.InitDefaultHelpFlag()
		return command.Help()
	}
	root.SetHelpCommand(c)
	return c
}

// help prints the examples first, because most readers of a help text look for one.
func help(c *cobra.Command, _ []string) {
	out := c.OutOrStdout()
	if c.HasExample() {
		_, _ = fmt.Fprintf(out, "Examples:\n%s\n\n", c.Example)
		c.Example = "" // cobra would show it again
	}
	_, _ = fmt.Fprintln(out, strings.Trim(cmp.Or(c.Long, c.Short), "\n"))
	if c.Runnable() || c.HasSubCommands() {
		_, _ = fmt.Fprintf(out, "\n%s", c.UsageString())
	}
}

// helpTopics are pages of help that belong to no command.
func helpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What each exit code means", Long: exitCodeHelp()},
		{Use: "environment", Short: "The environment variables", Long: environmentHelp()},
		{Use: "key-states", Short: "The states of a key", Long: keyStateHelp},
	}
}

func exitCodeHelp() string {
	var b strings.Builder
	byNumber := func(a, b exitCode) int { return cmp.Compare(a.code, b.code) }
	for _, c := range slices.SortedFunc(slices.Values(exitCodes()), byNumber) {
		fmt.Fprintf(&b, "  %3d  %s\n", c.code, c.text)
	}
	b.WriteString(`
A token is rejected if and only if the code of verify is 1 or from 10 to 19. The checks
come in the order 2, 10, 11, 3, 12, 13, 1, 14, 15, 17, 16, and the first that fails gives
the code. healthcheck gives 0 or 1 only. 1 is also the code of a batch with a rejected
token, of 'jwks lint' if it finds an error or a warning, of 'store check' if it finds
something, and of 'jwks diff' if the sets differ; any other failure of 'jwks diff' gives 2.

Each reason that 'verify -o json' gives, with the code that it leads to:
`)
	for _, r := range token.Reasons() {
		fmt.Fprintf(&b, "  %3d  %-18s %s\n", codeOf(&token.Refusal{Reason: r.Reason}), r.Reason, r.Meaning)
	}
	return b.String()
}

func environmentHelp() string {
	var b strings.Builder
	b.WriteString("A flag wins over a variable, a variable over the file, the file over the default.\n" +
		"Any other variable that begins with JWKSCTL_ is an error.\n\n")
	fmt.Fprintf(&b, "  %-28s %s\n", config.FileVariable, "the settings file, if --config is not given")
	for _, k := range config.Keys() {
		if k.Variable != "" {
			fmt.Fprintf(&b, "  %-28s %s\n", k.Variable, k.Usage)
		}
	}
	fmt.Fprintf(&b, "  %-28s %s\n", "NO_COLOR", "if not empty, print no colours")
	fmt.Fprintf(&b, "  %-28s %s\n", "XDG_STATE_HOME", "the folder with the folder jwksctl, where the default store is")
	return b.String()
}

func configHelp() string {
	return "Show the settings, or write a file of them.\n\n--config or " + config.FileVariable + " names the settings file: YAML, TOML or JSON, as its extension says.\n" +
		"Without either, no file is read. These are all keys with their defaults:\n\n" + config.YAML()
}

const keyStateHelp = `  pending   published, does not sign yet: caches get it before its first signature
  active    published and signs; there is exactly one
  retired   published, signs no longer: stays until the last token that it signed has expired
  expired   not published: it was removed on schedule
  revoked   not published: it was removed at once, for a reason that is recorded

The state follows from the stamps that 'jwksctl keys show' prints. There is one more
key, the specimen, which is created expired and never published: it signs the tokens of
'jwksctl token --expired' and 'POST /auth?expired=true'.`

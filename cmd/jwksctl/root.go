package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/spelling"
)

// app is what the commands of one command line share.
type app struct {
	*process
	configFile string
	started    bool // the code of a command has begun; errors before that are usage errors
	judging    bool // exit code 1 says that a token was rejected, so no other failure may give it
	stdinRead  bool // one input has read standard input, so no other one can
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, p *process, args []string) (code int) {
	out := &resultWriter{Writer: p.stdout}
	a := &app{process: p}
	defer func() {
		if fault := recover(); fault != nil {
			p.printMessage("jwksctl: internal fault: %v\n%s", fault, debug.Stack())
			code = exitFault
		}
	}()
	root := a.newRoot()
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(out)
	root.SetErr(p.stderr)
	a.stdin, a.stdout = &interruptibleReader{ctx, p.stdin}, out
	isTerminal, width := p.terminal, p.width
	p.terminal = func(stream any) bool { return isTerminal(unwrap(stream)) }
	p.width = func(stream any) int { return width(unwrap(stream)) }

	err := root.ExecuteContext(ctx)
	if err != nil && !a.started && out.err == nil {
		err = usageError{err}
	}
	if err == nil && out.err != nil {
		err = fmt.Errorf("standard output: the result could not be written: %w", out.err)
	}
	if cause, ok := errors.AsType[interrupted](context.Cause(ctx)); ok && err != nil {
		err = cause
	}
	if _, silent := errors.AsType[silentError](err); err != nil && !silent {
		a.printError(withoutSecrets(err, args, p.environ))
	}
	if a.judging && !rejects(err) && codeOf(err) == exitFailed {
		return exitUnavailable
	}
	return codeOf(err)
}

// unwrap returns the stream of the operating system that a wrapper writes to or reads from.
func unwrap(stream any) any {
	switch s := stream.(type) {
	case *resultWriter:
		return s.Writer
	case *interruptibleReader:
		return s.Reader
	}
	return stream
}

// silentError is an error that was printed already, or must not be printed. It still
// gives the exit code.
type silentError struct{ error }

func (s silentError) Unwrap() error { return s.error }

// printError prints an error, one line for each that is joined in it.
func (a *app) printError(err error) {
	for line := range strings.Lines(config.WithoutPasswords(err.Error())) {
		a.printMessage("%s %s", a.paint(a.stderr, red, "jwksctl:"), strings.TrimRight(line, "\n"))
	}
	if _, ok := errors.AsType[usageError](err); ok && !a.started {
		a.printMessage("try 'jwksctl --help'")
	}
}

// newRoot builds the command tree.
func (a *app) newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "jwksctl",
		Short: "Make, publish, rotate and revoke JWT signing keys",
		Long: `jwksctl makes JWT signing keys, publishes them as a JWK Set, signs tokens with
them, rotates and revokes them, and verifies tokens.`,
		Example: `  jwksctl serve                            # a JWK Set and tokens on http://127.0.0.1:8080
  TOKEN=$(jwksctl token --sub ci --aud api)
  jwksctl verify --aud api "$TOKEN" && echo good
  jwksctl token --expired                  # what must be refused
  jwksctl keys list`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
		Args:          noCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(help)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SuggestionsMinimumDistance = 2
	root.SetVersionTemplate("jwksctl {{.Version}}\n")
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "", "settings file (YAML, TOML or JSON)")
	flags.BoolVar(&a.noColor, "no-color", false, "print no colours")
	config.Flags(flags, "store", "seal_key")

	root.AddGroup(&cobra.Group{ID: "issue", Title: "Issue:"}, &cobra.Group{ID: "check", Title: "Check:"},
		&cobra.Group{ID: "keys", Title: "Keys:"}, &cobra.Group{ID: "other", Title: "Other:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("issue", a.newServe(), a.newToken(), a.newClients(), a.newAssertion())
	add("check", a.newVerify(), a.newInspect(), a.newThumbprint(), a.newHealthcheck())
	add("keys", a.newKeys(), a.newJWKS(), a.newStore(), a.newSeal())
	add("other", a.newConfig(), a.newCompletion(), a.newVersion(), a.newHelp(root))
	root.AddCommand(helpTopics()...)
	return root
}

// run makes a command's code what cobra runs. It notes that the code began, because
// errors before that are about how the command was called.
func (a *app) run(do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		a.started = true
		return do(c.Context(), args)
	}
}

// group is a command that only has subcommands.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: noCommand,
		RunE: func(c *cobra.Command, _ []string) error {
			return fmt.Errorf("%s needs a command: %s", c.CommandPath(), strings.Join(subcommandNames(c), ", "))
		},
	}
	c.AddCommand(commands...)
	return c
}

func subcommandNames(c *cobra.Command) []string {
	var out []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
			out = append(out, sub.Name())
		}
	}
	return out
}

// noCommand is the Args of a command that only has subcommands: it refuses any
// argument as an unknown command.
func noCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see '" + c.CommandPath() + " --help'"
	if near := spelling.Nearest(args[0], subcommandNames(c)); near != "" {
		hint = "did you mean " + near + "?"
	}
	return fmt.Errorf("unknown command %q for %q; %s", args[0], c.CommandPath(), hint)
}

// flagError adds the most similar flag to the error for an unknown one.
func flagError(c *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return err
	}
	var known []string
	if unknown.GetSpecifiedName() == "clients" {
		return fmt.Errorf("%w: clients are listed in the settings file; see 'jwksctl clients --help'", err)
	}
	if hint := config.Renamed(unknown.GetSpecifiedName()); hint != "" {
		return fmt.Errorf("%w; %s", err, hint)
	}
	c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if near := spelling.Nearest(unknown.GetSpecifiedName(), known); near != "" {
		return fmt.Errorf("%w; did you mean --%s?", err, near)
	}
	return fmt.Errorf("%w; see '%s --help'", err, c.CommandPath())
}

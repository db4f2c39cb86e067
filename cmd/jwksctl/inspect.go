package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/token"
)

func (a *app) newInspect() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:     "inspect [TOKEN | @FILE | -]",
		Aliases: []string{"decode"},
		Short:   "Show the content of a token without verifying it",
		Long: `Show the header and the claims of a token. Nothing is verified: anyone can write
such a token. Use 'jwksctl verify' before you act on it. If nothing of the text can be
decoded, it is not a token: exit code 10.`,
		Example: `  jwksctl inspect "$TOKEN"
  jwksctl token | jwksctl inspect -o json | jq .claims`,
		Args: cobra.MaximumNArgs(1),
	}
	outputFlag(c, &out, "text")
	c.RunE = a.run(func(_ context.Context, args []string) error { return a.inspect(out, args) })
	return c
}

func (a *app) inspect(out output, args []string) error {
	compact, err := a.tokenInput(args)
	if err != nil {
		return err
	}
	a.printMessage("%s", a.paint(a.stderr, yellow, "not verified: anyone can write such a token"))
	u := token.Inspect(compact)
	var result error
	if u.Header == nil && u.Claims == nil {
		result = &token.Refusal{Reason: token.ReasonNotCompact, Message: "this is not a token"}
	}
	if out.json {
		return errors.Join(result, a.printJSON(u))
	}
	for _, problem := range u.Problems {
		a.printMessage("%s %s", a.paint(a.stderr, red, "problem:"), problem)
	}
	a.print("header %s\n", indented(u.Header))
	if u.Claims == nil {
		a.print("payload %q\n", u.Payload)
	} else {
		a.print("claims %s\n", indented(u.Claims))
		a.printTimes(u.Claims)
	}
	a.print("signature %d bytes, not verified\n", u.Signature)
	return result
}

func indented(raw json.RawMessage) string {
	var b bytes.Buffer
	if len(raw) == 0 || json.Indent(&b, raw, "", "  ") != nil {
		return "(unreadable)"
	}
	return b.String()
}

// printTimes prints the claims that are times as dates.
func (a *app) printTimes(claims json.RawMessage) {
	var times map[string]any
	if json.Unmarshal(claims, &times) != nil {
		return
	}
	const latest = 253402300799 // the end of the year 9999, in seconds
	for _, name := range []string{"auth_time", "iat", "nbf", "exp"} {
		seconds, ok := times[name].(float64)
		if !ok {
			continue
		}
		note := ""
		if seconds > latest && seconds <= 1000*latest {
			seconds /= 1000
			note = ", if it is in milliseconds; a verifier expects seconds and refuses it"
		}
		if seconds < -latest || seconds > latest {
			a.print("%s is not a time\n", name)
			continue
		}
		t := time.Unix(int64(seconds), 0)
		a.print("%s %s (%s)%s\n", name, t.UTC().Format(time.RFC3339), distance(t, a.now()), note)
	}
}

// distance says how far a time is from now.
func distance(t, now time.Time) string {
	text := roughly(t.Sub(now).Abs())
	if days := max(t.Unix()-now.Unix(), now.Unix()-t.Unix()) / (24 * 60 * 60); days > 100_000 { // a Duration ends at 106,751 days
		text = fmt.Sprintf("%dd", days)
	}
	if t.After(now) {
		return "in " + text
	}
	return text + " ago"
}

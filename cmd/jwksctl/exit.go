package main

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/remote"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// The exit codes. They are part of the interface: a code never changes its
// meaning, and new reasons to reject a token take free numbers from 10 to 19.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnavailable = 3
	exitNotFound    = 4
	exitRefused     = 5

	exitMalformed    = 10
	exitAlgorithm    = 11
	exitNoKey        = 12
	exitKeyWithdrawn = 13
	exitExpired      = 14
	exitNotYetValid  = 15
	exitClaim        = 16
	exitClaimMissing = 17

	exitFault      = 70
	exitInterrupt  = 130
	exitTerminated = 143
)

// exitCode is one row of the table that the help topic prints.
type exitCode struct {
	code   int
	verify bool // about a token: verify gives it, and inspect the first
	text   string
}

// exitCodes is the whole table.
func exitCodes() []exitCode {
	return []exitCode{
		{exitDone, false, "done; of verify: every requested check passed"},
		{exitFailed, false, "failed; of verify: the signature is wrong"},
		{exitUsage, false, "usage or settings: nothing was done; of verify: nothing was verified"},
		{exitUnavailable, false, "unavailable: the store or the network; worth a retry; of verify: no verdict"},
		{exitNotFound, false, "not found: no keyset, or no such key"},
		{exitRefused, false, "refused by a guard that protects verifiers; the message says until when"},
		{exitMalformed, true, "rejected: malformed; of inspect: no token at all"},
		{exitAlgorithm, true, "rejected: algorithm, or an extension that crit demands"},
		{exitNoKey, true, "rejected: no key for this kid, or none can be told"},
		{exitKeyWithdrawn, true, "rejected: the key was revoked or has expired"},
		{exitExpired, true, "rejected: expired, too little time left, or too old"},
		{exitNotYetValid, true, "rejected: not valid yet"},
		{exitClaim, true, "rejected: a claim or typ has the wrong value"},
		{exitClaimMissing, true, "rejected: a required claim is missing"},
		{exitFault, false, "a fault of jwksctl itself; please report it"},
		{exitInterrupt, false, "interrupted (SIGINT); serve drains and gives 0"},
		{exitTerminated, false, "terminated (SIGTERM); serve drains and gives 0"},
	}
}

// usageError is bad input, found by us; cobra's own errors count as one too.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// codeOf is the one table from errors to exit codes.
func codeOf(err error) int {
	var (
		signalled interrupted
		refusal   *keys.Refusal
		verdict   *token.Refusal
		setting   *config.Error
		usage     usageError
		request   *token.RequestError
		ttl       *token.TTLError
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &signalled) && signalled.signal == os.Interrupt:
		return exitInterrupt
	case errors.As(err, &signalled) && signalled.signal == syscall.SIGTERM:
		return exitTerminated
	case errors.As(err, &usage), errors.As(err, &setting), errors.As(err, &request), errors.As(err, &ttl),
		errors.Is(err, remote.ErrAddress), errors.Is(err, keys.ErrSealingKey), errors.Is(err, keys.ErrWitness):
		return exitUsage
	case errors.As(err, &verdict):
		return verdictCode(verdict.Reason.Class())
	case errors.As(err, &refusal), errors.Is(err, keys.ErrNoSpecimen):
		return exitRefused
	case errors.Is(err, keys.ErrNoKeyset), errors.Is(err, keys.ErrUnknownKey):
		return exitNotFound
	case errors.Is(err, keys.ErrUnavailable), errors.Is(err, keys.ErrStale), errors.Is(err, remote.ErrUnavailable),
		errors.Is(err, errListen), errors.Is(err, token.ErrKeysUnavailable), errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	default:
		return exitFailed
	}
}

// verdictCode gives each class of refusal its code.
func verdictCode(c token.Class) int {
	switch c {
	case token.ClassMalformed:
		return exitMalformed
	case token.ClassAlgorithm:
		return exitAlgorithm
	case token.ClassNoKey:
		return exitNoKey
	case token.ClassKeyWithdrawn:
		return exitKeyWithdrawn
	case token.ClassExpired:
		return exitExpired
	case token.ClassNotYetValid:
		return exitNotYetValid
	case token.ClassClaimMissing:
		return exitClaimMissing
	case token.ClassClaim:
		return exitClaim
	case token.ClassSignature:
	}
	return exitFailed
}

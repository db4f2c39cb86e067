package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/audit"
	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/remote"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/token"
)

func TestCodeOf(t *testing.T) {
	tests := []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("anything else"), 1},
		{plainError{usageError{errors.New("hidden")}}, 1},
		{usageError{errors.New("x")}, 2},
		{&config.Error{Err: errors.New("x")}, 2},
		{&token.RequestError{}, 2},
		{&token.TTLError{}, 2},
		{remote.ErrAddress, 2},
		{keys.ErrSealingKey, 2},
		{keys.ErrBackup, 2},
		{keys.ErrClockSkew, 2},
		{keys.ErrUnavailable, 3},
		{keys.ErrStale, 3},
		{keys.ErrDocument, 3},
		{remote.ErrUnavailable, 3},
		{token.ErrKeysUnavailable, 3},
		{audit.ErrUnavailable, 3},
		{errListen, 3},
		{seal.ErrCommand, 3},
		{seal.ErrLocked, 3},
		{context.DeadlineExceeded, 3},
		{keys.ErrNoKeyset, 4},
		{keys.ErrUnknownKey, 4},
		{&keys.Refusal{}, 5},
		{keys.ErrNoSpecimen, 5},
		{&token.Refusal{Reason: token.ReasonExpired}, 14},
		{interrupted{os.Interrupt}, 130},
		{interrupted{syscall.SIGTERM}, 143},

		// An error that matches two rows: what the user can correct comes first.
		{errors.Join(keys.ErrUnavailable, usageError{errors.New("x")}), 2},
		{fmt.Errorf("%w: %w", token.ErrKeysUnavailable, remote.ErrUnavailable), 3},
	}
	for _, tt := range tests {
		if got := codeOf(tt.err); got != tt.want {
			t.Errorf("%#v gives %d, want %d", tt.err, got, tt.want)
		}
		if tt.err == nil {
			continue
		}
		if got := codeOf(fmt.Errorf("in a context: %w", tt.err)); got != tt.want {
			t.Errorf("%#v in a context gives %d, want %d", tt.err, got, tt.want)
		}
	}
}

// TestRejectionCodes has the codes written out, because scripts rely on them and none
// may ever change.
func TestRejectionCodes(t *testing.T) {
	want := map[token.Class]int{
		token.ClassSignature:    1,
		token.ClassMalformed:    10,
		token.ClassAlgorithm:    11,
		token.ClassNoKey:        12,
		token.ClassKeyWithdrawn: 13,
		token.ClassExpired:      14,
		token.ClassNotYetValid:  15,
		token.ClassClaim:        16,
		token.ClassClaimMissing: 17,
	}
	got := map[token.Class]int{}
	for _, r := range token.Reasons() {
		code := codeOf(&token.Refusal{Reason: r.Reason})
		if other, ok := got[r.Class]; ok && code != other {
			t.Errorf("reasons of class %s give %d and %d", r.Class, other, code)
		}
		got[r.Class] = code
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestExitCodeHelp(t *testing.T) {
	var listed []int
	table, reasons, _ := strings.Cut(exitCodeHelp(), "\n\n")
	for line := range strings.Lines(table) {
		code, err := strconv.Atoi(strings.Fields(line)[0])
		if err != nil {
			t.Errorf("no exit code in %q", line)
		}
		listed = append(listed, code)
	}
	published := []int{0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 16, 17, 70, 130, 143}
	if diff := cmp.Diff(published, listed); diff != "" {
		t.Errorf("the topic does not list the published codes in order: %s", diff)
	}
	for _, reason := range token.Reasons() {
		code := codeOf(&token.Refusal{Reason: reason.Reason})
		line := regexp.MustCompile(fmt.Sprintf(`(?m)^ +%d +%s `, code, regexp.QuoteMeta(string(reason.Reason))))
		if !line.MatchString(reasons) {
			t.Errorf("the topic has no line for %s", reason.Reason)
		}
		if !slices.Contains(listed, code) {
			t.Errorf("%s gives %d, which the topic does not list", reason.Reason, code)
		}
	}
}

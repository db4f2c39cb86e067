package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
)

// silentStore answers no Load.
type silentStore struct{ keys.Store }

func (silentStore) Load(ctx context.Context) (keys.Record, error) {
	<-ctx.Done()
	return keys.Record{}, ctx.Err()
}

// A command gives up on a store that does not answer, whether it hangs when it is opened
// or afterwards. An engine may have a shorter limit of its own.
func TestCommandsGiveUpOnAStoreThatHangs(t *testing.T) {
	openers := map[string]storeOpener{
		"open": func(ctx context.Context, _ string) (keys.Store, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
		"read": func(context.Context, string) (keys.Store, error) { return silentStore{memory.New(time.Now)}, nil },
	}
	for name, open := range openers {
		for command, do := range map[string]func(ctx context.Context, c settings) error{
			"change": func(ctx context.Context, c settings) error { _, err := openRingWith(ctx, c, open); return err },
			"read": func(ctx context.Context, c settings) error {
				s, err := openExistingStoreWith(ctx, c.places, open)
				if err == nil {
					_, err = readKeysetIn(ctx, c, s)
				}
				return err
			},
			"copy": func(ctx context.Context, c settings) error {
				s, err := openExistingStoreWith(ctx, c.places, open)
				if err == nil {
					err = checkHasKeyset(ctx, c.places, s)
				}
				return err
			},
		} {
			t.Run(name+" "+command, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					began := time.Now()
					err := do(t.Context(), settings{places: places{store: "memory:"}})
					if took := time.Since(began); took > 10*time.Second || codeOf(err) != exitUnavailable {
						t.Errorf("%v after %v, exit code %d", err, took, codeOf(err))
					}
					if failure, ok := errors.AsType[*keys.StoreError](err); !ok || !strings.Contains(err.Error(), failure.Problem+": ") {
						t.Errorf("%v names no problem", err)
					}
				})
			})
		}
	}
}

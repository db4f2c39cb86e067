package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

const (
	// MinClockSkew is Store.MinClockSkew: the time in which etcd applies a request or gives
	// it up, with its defaults: 5 s and two elections of 1 s. One second is for the way there.
	MinClockSkew = 8 * time.Second

	// readTimeout is how long a read may take in all. An election takes 1 s to 2 s.
	readTimeout = 5 * time.Second

	// attemptTimeout is how long a read waits for one member before it asks the next.
	attemptTimeout = 2 * time.Second

	// writeTimeout is how long a change without a deadline may take: longer than etcd
	// needs to give it up.
	writeTimeout = 10 * time.Second

	// retryPause is the pause between two attempts of a read.
	retryPause = 100 * time.Millisecond

	// watchPause is the pause before a watch that ended is begun again.
	watchPause = time.Second
)

// Store is a keyset in etcd, created by Open. It is safe for concurrent use.
type Store struct {
	name   string // for messages
	prefix string
	client *clientv3.Client
	now    func() time.Time
}

// state is the keyset at one revision of etcd.
type state struct {
	keys.Record       // its version is 0 if there is no keyset
	modified    int64 // the revision of the last change of the keyset, 0 if there is none
	revision    int64 // of etcd at the time of the read
}

// Load implements keys.Store.
func (s *Store) Load(ctx context.Context) (keys.Record, error) {
	current, err := s.read(ctx)
	if err != nil {
		return keys.Record{}, err
	}
	if current.Version == 0 {
		return keys.Record{}, keys.ErrNoKeyset
	}
	return current.Record, nil
}

// PrivateKey implements keys.Store.
func (s *Store) PrivateKey(ctx context.Context, kid string) ([]byte, error) {
	answer, err := s.get(ctx, s.privateKeys()+kid)
	if err != nil {
		return nil, s.fail(ctx, "read a private key", err)
	}
	if len(answer.Kvs) == 0 {
		return nil, keys.ErrNoPrivateKey
	}
	return answer.Kvs[0].Value, nil
}

// PrivateKeyIDs implements keys.Store.
func (s *Store) PrivateKeyIDs(ctx context.Context) ([]string, error) {
	answer, err := s.get(ctx, s.privateKeys(), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, s.fail(ctx, "list the private keys", err)
	}
	kids := make([]string, 0, len(answer.Kvs))
	for _, kv := range answer.Kvs {
		kids = append(kids, strings.TrimPrefix(string(kv.Key), s.privateKeys()))
	}
	return kids, nil
}

// Swap implements keys.Store.
func (s *Store) Swap(ctx context.Context, c keys.Change) error {
	if len(c.Document) == 0 {
		return fmt.Errorf("store %s: refusing to store an empty keyset document", s.name)
	}
	bounded, cancel := s.withDeadline(ctx, c.Deadline)
	defer cancel()
	current, ops, err := s.prepare(bounded, c)
	if s.isLate(c.Deadline) { // nothing was sent yet
		return keys.ErrTooLate
	}
	if err != nil {
		return err
	}
	answer, err := s.client.Txn(clientv3.WithRequireLeader(bounded)).
		If(clientv3.Compare(clientv3.ModRevision(s.keyset()), "=", current.modified)).
		Then(ops...).
		Commit()
	switch {
	case is(err, rpctypes.ErrLeaseNotFound): // it has expired
		return keys.ErrTooLate
	case err != nil:
		return s.fail(ctx, "write the keyset", err)
	case !answer.Succeeded:
		return keys.ErrConflict
	}
	return nil
}

// prepare reads the keyset and makes the operations of the transaction that commits c.
func (s *Store) prepare(ctx context.Context, c keys.Change) (state, []clientv3.Op, error) {
	current, err := s.read(ctx)
	if err != nil {
		return state{}, nil, err
	}
	if current.Version != c.Version {
		return state{}, nil, keys.ErrConflict
	}
	ops := s.operations(c)
	if c.Deadline.IsZero() {
		return current, ops, nil
	}
	lease, err := s.client.Grant(clientv3.WithRequireLeader(ctx), max(1, int64(s.until(c.Deadline)/time.Second)))
	if err != nil {
		return state{}, nil, s.fail(ctx, "get a lease for the change", err)
	}
	return current, append(ops, clientv3.OpPut(s.lease(), "", clientv3.WithLease(lease.ID))), nil
}

// operations are those of the transaction that commits c.
func (s *Store) operations(c keys.Change) []clientv3.Op {
	ops := []clientv3.Op{clientv3.OpPut(s.keyset(), string(encode(c.NewVersion(), c.Document)))}
	deleted := make(map[string]bool)
	for _, kid := range c.Delete {
		if !deleted[kid] {
			ops = append(ops, clientv3.OpDelete(s.privateKeys()+kid))
		}
		deleted[kid] = true
	}
	for kid, sealed := range c.Put {
		if !deleted[kid] { // etcd refuses two operations on one key
			ops = append(ops, clientv3.OpPut(s.privateKeys()+kid, string(sealed)))
		}
	}
	return ops
}

// isLate reports whether the wall clock has reached deadline.
func (s *Store) isLate(deadline time.Time) bool {
	return !deadline.IsZero() && s.until(deadline) <= 0
}

// until is the time until deadline by the wall clock. Round(0) removes the monotonic
// reading, which stops while the machine sleeps.
func (s *Store) until(deadline time.Time) time.Duration {
	return deadline.Round(0).Sub(s.now().Round(0))
}

// withDeadline returns a context that ends at the deadline of a change.
func (s *Store) withDeadline(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	if deadline.IsZero() {
		return context.WithTimeout(ctx, writeTimeout)
	}
	return context.WithTimeout(ctx, s.until(deadline))
}

// Wait implements keys.Store. A watch that ends, for any reason, is followed by a read.
func (s *Store) Wait(ctx context.Context, version uint64) error {
	for {
		current, err := s.read(ctx)
		if err != nil {
			return err
		}
		if current.Version != version {
			return nil
		}
		if s.watch(ctx, current.revision+1) {
			return nil
		}
		if err := pause(ctx, watchPause); err != nil {
			return err
		}
	}
}

// watch blocks until the keyset changes at a revision or later, and returns true. It
// returns false if the watch ends before that.
func (s *Store) watch(ctx context.Context, revision int64) (changed bool) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for answer := range s.client.Watch(ctx, s.keyset(), clientv3.WithRev(revision)) {
		if len(answer.Events) > 0 {
			return true
		}
	}
	return false
}

// read reads the keyset.
func (s *Store) read(ctx context.Context) (state, error) {
	answer, err := s.get(ctx, s.keyset())
	if err != nil {
		return state{}, s.fail(ctx, "read the keyset", err)
	}
	current := state{revision: answer.Header.Revision}
	if len(answer.Kvs) == 0 {
		return current, nil
	}
	current.modified = answer.Kvs[0].ModRevision
	current.Version, current.Document, err = decode(answer.Kvs[0].Value)
	if err != nil {
		return state{}, &keys.StoreError{
			Problem: "the store contains something that is not a keyset",
			Err:     fmt.Errorf("store %s: the key %s: %v: choose another prefix, or restore a backup", s.name, s.keyset(), err),
		}
	}
	return current, nil
}

// get reads from etcd. If a member fails, it asks the next one.
func (s *Store) get(ctx context.Context, key string, options ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for {
		attempt, end := context.WithTimeout(clientv3.WithRequireLeader(ctx), attemptTimeout)
		answer, err := s.client.Get(attempt, key, options...)
		end()
		if err == nil || !isTemporary(err) || s.isUnreachable() || pause(ctx, retryPause) != nil {
			return answer, err
		}
	}
}

// isUnreachable reports whether the connections to all members have failed.
func (s *Store) isUnreachable() bool {
	return s.client.ActiveConnection().GetState() == connectivity.TransientFailure
}

// pause waits, and returns the error of ctx if ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// MinClockSkew implements keys.Store.
func (s *Store) MinClockSkew() time.Duration { return MinClockSkew }

// Close implements keys.Store.
func (s *Store) Close() error {
	if err := s.client.Close(); err != nil {
		return fmt.Errorf("store %s: close: %v", s.name, err)
	}
	return nil
}

func (s *Store) lease() string       { return s.prefix + "/lease" }
func (s *Store) keyset() string      { return s.prefix + "/keyset" }
func (s *Store) privateKeys() string { return s.prefix + "/private_key/" }

// encode makes the value of PREFIX/keyset.
func encode(version uint64, document []byte) []byte {
	return append(append(strconv.AppendUint(nil, version, 10), '\n'), document...)
}

// decode is the inverse of encode.
func decode(value []byte) (version uint64, document []byte, err error) {
	line, document, ok := bytes.Cut(value, []byte("\n"))
	version, err = strconv.ParseUint(string(line), 10, 64)
	if !ok || err != nil || version == 0 || len(document) == 0 || strconv.FormatUint(version, 10) != string(line) {
		return 0, nil, errors.New("its value is not a version, a line feed and a document")
	}
	return version, document, nil
}

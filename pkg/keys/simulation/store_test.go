package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// simStore is the store of a world: it keeps every version, so that the checker
// can tell what was ever true.
type simStore struct {
	world    *world
	clock    *host // nil for an engine without a clock of its own
	records  []keys.Record
	halves   map[string][]byte
	inFlight []*flight
}

// flight is a write that its process has given up on and that lands later.
type flight struct {
	at      time.Duration
	change  keys.Change
	by      *process
	doing   action
	witness int
}

func (s *simStore) firstInFlight() *flight {
	var first *flight
	for _, f := range s.inFlight {
		if first == nil || f.at < first.at {
			first = f
		}
	}
	return first
}

func (s *simStore) land(f *flight) {
	s.inFlight = slices.DeleteFunc(s.inFlight, func(o *flight) bool { return o == f })
	s.world.witness(f.witness, f.by)
	err := s.commit(f.by, f.doing, f.change)
	s.world.logf("a write that %s gave up on lands: %v", f.by.name, errText(err))
	if err == nil {
		s.world.seen["writes that land after they were given up"]++
	}
}

func (s *simStore) version() uint64 { return uint64(len(s.records)) }

// commit is the whole of Swap but for what goes wrong on the way.
func (s *simStore) commit(by *process, doing action, c keys.Change) error {
	if c.Version != s.version() {
		s.world.seen["lost swaps"]++
		return keys.ErrConflict
	}
	s.records = append(s.records, keys.Record{Version: c.Version + 1, Document: bytes.Clone(c.Document)})
	for kid, half := range c.Put {
		s.halves[kid] = bytes.Clone(half)
	}
	for _, kid := range c.Delete {
		delete(s.halves, kid)
	}
	var ks keys.Keyset
	if err := json.Unmarshal(c.Document, &ks); err != nil {
		s.world.violate("8", "an unreadable document was committed: %v", err)
	}
	s.world.check.commit(by, doing, ks, c)
	return nil
}

// What a call to the store meets. The zero value goes through at once.
type fault struct {
	before  float64 // time until it takes effect, in shares of e; for a Swap, of the time until its deadline
	after   float64 // time until the answer is there, in shares of e
	fate    fate
	witness int // hosts (a bit each) that read the store in the last moment before a Swap takes effect
}

type fate int

const (
	well       fate = iota
	fails           // the request is lost: an error, and no effect
	ambiguous       // it takes effect, and the answer is lost
	zombie          // an error at once, and it takes effect later
	crashFirst      // the process dies before the request is out
	crashLast       // the process dies before the answer is in
	goesBack        // a Load is answered with a version before the one that the process has
)

// faults are those of the calls of one operation; what is left out goes well.
type faults struct {
	load, half, swap []fault
	making           time.Duration // of a key
}

func take(fs *[]fault) fault {
	if len(*fs) == 0 {
		return fault{}
	}
	f := (*fs)[0]
	*fs = (*fs)[1:]
	return f
}

// port is a process's way to the store; it satisfies keys.Store.
type port struct{ *process }

var errLink = errors.New("the link to the store is down")

// request is what all calls have in common on their way out.
func (p port) request(f fault, before time.Duration) error {
	if f.fate == crashFirst {
		panic(crash{})
	}
	cut := p.host.cut
	p.sleep(before)
	if f.fate == fails {
		p.host.world.seen["lost requests"]++
	}
	if cut || f.fate == fails {
		return errLink
	}
	return nil
}

// answer is what all calls have in common on their way back.
func (p port) answer(f fault) error {
	p.sleep(time.Duration(f.after * float64(p.host.world.e)))
	if f.fate == crashLast {
		panic(crash{})
	}
	if p.host.cut || f.fate == ambiguous {
		return errLink
	}
	return nil
}

func (p port) Load(context.Context) (keys.Record, error) {
	f, s := take(&p.faults.load), p.host.world.store
	p.asked = p.host.moment()
	if err := p.request(f, time.Duration(f.before*float64(p.host.world.e))); err != nil {
		return keys.Record{}, err
	}
	if s.version() == 0 {
		return keys.Record{}, keys.ErrNoKeyset
	}
	r := s.records[s.version()-1]
	if f.fate == goesBack && p.ring != nil && p.ring.Keyset().Version > 1 {
		r = s.records[p.ring.Keyset().Version-2]
		p.host.world.seen["stores that go back"]++
	}
	if s.clock != nil {
		r.Now = s.clock.wall()
	}
	err := p.answer(f)
	if err == nil {
		p.confirmed = p.asked
	}
	return r, err
}

func (p port) PrivateKey(_ context.Context, kid string) ([]byte, error) {
	f, s := take(&p.faults.half), p.host.world.store
	if err := p.request(f, time.Duration(f.before*float64(p.host.world.e))); err != nil {
		return nil, err
	}
	half, ok := s.halves[kid]
	intact := ok && !p.host.world.check.corrupted[kid]
	if err := p.answer(f); err != nil {
		return nil, err
	}
	p.opened[kid] = p.opened[kid] || intact
	if !ok {
		return nil, keys.ErrNoPrivateKey
	}
	return half, nil
}

func (p port) Swap(_ context.Context, c keys.Change) error {
	f, w := take(&p.faults.swap), p.host.world
	if p.host.jump != 0 && p.doing.kind != doServe {
		w.violate("the clock fence", "%s takes a step by a clock that is off by %v", p.name, p.host.jump)
	}
	if !p.doing.kind.writes() || (c.Version == 0 && p.doing.kind != doServe) {
		w.violate("11", "%s writes version %d while it does nothing but %s", p.name, c.Version+1, p.doing.kind)
	}
	if f.fate == crashFirst {
		w.seen["crashes on the way to a swap"]++
	}
	left, start := 4*w.e, w.now
	if !c.Deadline.IsZero() {
		left = p.host.until(c.Deadline)
	}
	lands := time.Duration(f.before * float64(left))
	if f.fate == zombie && lands <= left {
		w.store.inFlight = append(w.store.inFlight, &flight{w.now + lands, c, p.process, p.doing, f.witness})
		return errLink
	}
	if err := p.request(f, min(lands, left)); err != nil {
		return err
	}
	w.witness(f.witness, p.process)
	if lands > left || w.now-start > left {
		w.seen["writes past their deadline"]++
		return keys.ErrTooLate
	}
	if err := w.store.commit(p.process, p.doing, c); err != nil {
		return err
	}
	w.logf("%s commits version %d: %s", p.name, c.Version+1, w.check.describe())
	if f.fate == ambiguous {
		w.seen["ambiguous commits"]++
	}
	if f.before > 0.9 {
		w.seen["slow commits"]++
	}
	if f.fate == crashLast {
		w.seen["crashes after a swap"]++
	}
	return p.answer(f)
}

// witness has the servers of some hosts read the store now, as a process may at
// any time.
func (w *world) witness(hosts int, but *process) {
	for _, h := range w.hosts {
		if hosts&(1<<h.id) != 0 && h.server != nil && h.server != but && !h.server.busy {
			w.do(action{kind: doRefresh, host: h.id})
		}
	}
	w.look()
}

func (p port) Wait(ctx context.Context, _ uint64) error { return ctx.Err() }

func (p port) Close() error { return nil }

// simSealer binds a half to its context and hides nothing.
type simSealer struct{}

func (simSealer) Name() string { return "sim" }

func (simSealer) Seal(plain, context []byte) ([]byte, error) {
	return slices.Concat(context, []byte{0}, plain), nil
}

func (simSealer) Open(sealed, context []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, slices.Concat(context, []byte{0}))
	if !ok {
		return nil, errors.New("the seal is broken")
	}
	return plain, nil
}

// pool holds ready-made keys, which are the same for every world: it is the
// course of a world that depends on its seed, not the bits of its keys.
type pool struct{ eddsa, es256 []jwk.PrivateKey }

var readyMade = sync.OnceValue(func() *pool {
	fill := func(alg jwk.Algorithm, n int) []jwk.PrivateKey {
		out := make([]jwk.PrivateKey, n)
		for i := range out {
			var err error
			if out[i], err = jwk.Generate(alg, 0); err != nil {
				panic(err)
			}
		}
		return out
	}
	return &pool{fill(jwk.EdDSA, 150), fill(jwk.ES256, 40)}
})

// supply hands the keys of a pool out, each once.
type supply struct {
	mu sync.Mutex
	*pool
	gone [2]int
}

var errNoMoreKeys = errors.New("the world has run out of keys")

func (s *supply) take(alg jwk.Algorithm) (jwk.PrivateKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, i := s.eddsa, 0
	if alg == jwk.ES256 {
		from, i = s.es256, 1
	}
	if s.gone[i] == len(from) {
		return jwk.PrivateKey{}, errNoMoreKeys
	}
	s.gone[i]++
	return from[s.gone[i]-1], nil
}

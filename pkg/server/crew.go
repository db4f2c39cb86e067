package server

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// signTimeout bounds the wait for a turn, which is long when the whole machine is
// busy. It ends before the answer would be cut off.
const signTimeout = 10 * time.Second

// dispersal is how long nobody may have waited before a crowd is over.
const dispersal = time.Minute

var errOverload = errors.New("too many requests wait for a signature")

// crew makes the signatures: so many at once, so many more wait, and who comes
// then is sent away.
//
// Who finds a place free signs there and then. As soon as others wait, members do
// their work, on threads that let others go first: a signature does not yield, and
// a request for the JWK Set must pass all those for tokens.
type crew struct {
	places  int
	mu      sync.Mutex
	free    int // of the places
	waiting []*turn
	longest int // that waiting may get
	crowd   crowd
	waited  func(time.Duration) // told how long each waited that had to; may be nil
}

// crowd is whether some have waited lately.
type crowd struct {
	tell   func(here bool) // may be nil
	here   bool
	lately bool // somebody has waited since it was last looked at
}

// job is a piece of work.
type job interface{ run() }

// turn is a job that waits for its turn.
type turn struct {
	job
	since time.Time // it waits
	done  chan struct{}
	begun time.Time // these two once done is closed
	panic any       // what the job panicked with
}

func newCrew(places, queue int) *crew { return &crew{places: places, free: places, longest: queue} }

// do has the job done in its turn, and panics if the job did. The error is
// errOverload, or that of a ctx that ended before the turn came: then it was not
// begun.
func (c *crew) do(ctx context.Context, j job) error {
	t, err := c.enter(j)
	if err != nil {
		return err
	}
	if t == nil {
		defer c.leave()
		if c.places == 1 {
			runtime.Gosched() // or one processor does one after another, and never sees that they crowd
		}
		j.run()
		return nil
	}
	timeout := time.NewTimer(signTimeout)
	defer timeout.Stop()
	select {
	case <-t.done:
	case <-timeout.C:
		err = errOverload
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil && c.withdraw(t) {
		c.tellWait(time.Since(t.since))
		return err
	}
	<-t.done
	c.tellWait(t.begun.Sub(t.since))
	if t.panic != nil {
		panic(t.panic) // where the request is, so that it is answered
	}
	return nil
}

func (c *crew) tellWait(wait time.Duration) {
	if c.waited != nil {
		c.waited(wait)
	}
}

// enter takes a place or, if there is none, a turn.
func (c *crew) enter(j job) (*turn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.free > 0 {
		c.free--
		return nil, nil //nolint:nilnil // no turn means a place
	}
	if len(c.waiting) == c.longest {
		return nil, errOverload
	}
	t := &turn{job: j, since: time.Now(), done: make(chan struct{})}
	c.waiting = append(c.waiting, t)
	c.gather()
	return t, nil
}

// gather takes down that somebody waits.
func (c *crew) gather() {
	c.crowd.lately = true
	if c.crowd.here || c.crowd.tell == nil {
		return
	}
	c.crowd.here = true
	c.crowd.tell(true)
	time.AfterFunc(dispersal, c.disperse)
}

// disperse looks whether the crowd is over.
func (c *crew) disperse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.crowd.lately {
		c.crowd.lately = false
		time.AfterFunc(dispersal, c.disperse)
		return
	}
	c.crowd.here = false
	c.crowd.tell(false)
}

// withdraw gives up a turn, unless it has come: work that began is waited for.
func (c *crew) withdraw(t *turn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.waiting, t)
	if i < 0 {
		return false
	}
	c.waiting = slices.Delete(c.waiting, i, i+1)
	return true
}

// leave gives the place to a member if anybody waits.
func (c *crew) leave() {
	if t := c.next(); t != nil {
		go c.member(t)
	}
}

// next is whose turn it is. If it is nobody's, the place is free.
func (c *crew) next() *turn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.free++
		return nil
	}
	t := c.waiting[0]
	c.waiting[0] = nil
	c.waiting = c.waiting[1:]
	return t
}

// member works until nobody waits.
func (c *crew) member(t *turn) {
	letOthersGoFirst()
	for ; t != nil; t = c.next() {
		t.take()
		yield()
	}
}

func (t *turn) take() {
	defer close(t.done)
	defer func() {
		if cause := recover(); cause != nil {
			t.panic = fmt.Sprintf("%v\n%s", cause, debug.Stack())
		}
	}()
	t.begun = time.Now()
	t.run()
}

package server

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

var errOverload = errors.New("too many requests wait for a signature")

// crew makes the signatures: so many at once, so many more wait, and who comes
// then is sent away.
//
// Who finds it free signs there and then. As soon as others wait, members do
// their work, each on a thread of the system to itself. A signature does not
// yield, and the system lets a thread that has slept go before one that was
// busy: that is how a request for the JWK Set passes all those for tokens.
type crew struct {
	places  chan struct{} // taken by each that signs
	waiting chan *turn
}

// turn is a piece of work that waits for its turn.
type turn struct {
	ctx   context.Context //nolint:containedctx // of the request that waits
	work  func()
	err   error // why the work was not done, once done is closed
	panic any   // what the work panicked with
	done  chan struct{}
}

func newCrew(places, queue int) crew {
	return crew{make(chan struct{}, places), make(chan *turn, queue)}
}

// do has the work done in its turn, and panics if the work did. The error is
// errOverload, or that of a ctx that ended before the turn came.
func (c crew) do(ctx context.Context, work func()) error {
	select {
	case c.places <- struct{}{}:
		defer c.leave()
		work()
		return nil
	default:
	}
	t := &turn{ctx: ctx, work: work, done: make(chan struct{})}
	select {
	case c.waiting <- t:
	default:
		return errOverload
	}
	c.hire() // all others may have left meanwhile
	<-t.done
	if t.panic != nil {
		panic(t.panic) // where the request is, so that it is answered
	}
	return t.err
}

// leave gives a place to those who wait.
func (c crew) leave() {
	<-c.places
	c.hire()
}

// hire sees to it that nobody waits while there is a place.
func (c crew) hire() {
	if len(c.waiting) == 0 {
		return
	}
	select {
	case c.places <- struct{}{}:
		go c.member()
	default:
	}
}

// member works until nobody waits.
func (c crew) member() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer c.leave()
	for {
		select {
		case t := <-c.waiting:
			t.take()
		default:
			return
		}
	}
}

func (t *turn) take() {
	defer close(t.done)
	defer func() {
		if cause := recover(); cause != nil {
			t.panic = fmt.Sprintf("%v\n%s", cause, debug.Stack())
		}
	}()
	if t.err = t.ctx.Err(); t.err == nil {
		t.work()
	}
}

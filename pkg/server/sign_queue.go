package server

import (
	"context"
	"errors"
	"runtime"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// signTimeout bounds the wait for a signature. It is shorter than writeTimeout, so
	// that the server can still answer.
	signTimeout = 10 * time.Second

	// queueLength is how many requests may wait per signature that may run at the same
	// time. It bounds the wait of the last request to that many signatures.
	queueLength = 64
)

var errQueueFull = errors.New("too many requests wait for a signature")

// signQueue bounds how many signatures run at the same time, so that other requests get
// processor time, and how many requests wait for a signature.
type signQueue struct {
	running *semaphore.Weighted
	places  *semaphore.Weighted // held by each request that signs or waits
	waited  func(time.Duration) // is called with the duration of each wait, also if it was in vain
}

// newSignQueue returns a queue that runs at most the given number of signatures at the
// same time.
func newSignQueue(signatures int, waited func(time.Duration)) *signQueue {
	return &signQueue{
		running: semaphore.NewWeighted(int64(signatures)),
		places:  semaphore.NewWeighted(int64(signatures * (1 + queueLength))),
		waited:  waited,
	}
}

// do calls sign as soon as it may run. It returns the error of sign, errQueueFull, or
// the error of ctx if ctx ended during the wait.
func (q *signQueue) do(ctx context.Context, sign func() error) error {
	if !q.places.TryAcquire(1) {
		return errQueueFull
	}
	defer q.places.Release(1)
	if err := q.wait(ctx); err != nil {
		return err
	}
	defer q.running.Release(1)
	// Release starts the next waiting goroutine ahead of all others that could run. Without
	// this call, a flood of requests for tokens keeps the processor for a whole time slice
	// of Go's scheduler, which made the p99 of GET /jwks five times as long.
	runtime.Gosched()
	return sign()
}

func (q *signQueue) wait(ctx context.Context) error {
	if q.running.TryAcquire(1) {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, signTimeout, errQueueFull)
	defer cancel()
	start := time.Now()
	err := q.running.Acquire(ctx, 1)
	q.waited(time.Since(start))
	if err != nil {
		return context.Cause(ctx)
	}
	return nil
}

package server

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// signTimeout bounds the wait for a signature. It ends before writeTimeout
	// would cut off the answer.
	signTimeout = 10 * time.Second

	// queueLength is how many requests may wait for each signature that may run. It
	// bounds the wait: the last request is served after as many signatures.
	queueLength = 64
)

var errQueueFull = errors.New("too many requests wait for a signature")

// signQueue bounds the signatures that run at the same time, so that they leave
// processors to other requests, and the requests that wait for one.
type signQueue struct {
	running *semaphore.Weighted
	places  *semaphore.Weighted // of requests whose signature runs or waits
	waited  func(time.Duration) // receives how long a request waited that had to
}

// newSignQueue allows for so many signatures at the same time.
func newSignQueue(signatures int, waited func(time.Duration)) *signQueue {
	return &signQueue{
		running: semaphore.NewWeighted(int64(signatures)),
		places:  semaphore.NewWeighted(int64(signatures * (1 + queueLength))),
		waited:  waited,
	}
}

// do calls sign as soon as it may run. The error is that of sign, errQueueFull, or
// that of a ctx that ended during the wait.
func (q *signQueue) do(ctx context.Context, sign func() error) error {
	if !q.places.TryAcquire(1) {
		return errQueueFull
	}
	defer q.places.Release(1)
	if err := q.wait(ctx); err != nil {
		return err
	}
	defer q.running.Release(1)
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

package server

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"
)

// niceness is that of the calling thread.
func niceness(t *testing.T) int {
	t.Helper()
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Error(err)
	}
	return 20 - raw
}

func TestMembersLetOthersGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := niceness(t)
		c := newCrew(1, 1)
		finish := occupy(t, c)
		waited := make(chan int, 1)
		go func() {
			if err := do(t.Context(), c, func() { waited <- niceness(t) }); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		finish()
		if got := <-waited; got != min(19, own+memberNice) {
			t.Errorf("the niceness of a member is %d, that of others %d", got, own)
		}
		synctest.Wait()

		// No thread that is used again may have kept it.
		var all sync.WaitGroup
		every := make(chan struct{})
		const threads = 50
		for range threads {
			all.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				every <- struct{}{} // until all are here, each on a thread of its own
				if got := niceness(t); got != own {
					t.Errorf("another goroutine got a thread of niceness %d, want %d", got, own)
				}
			})
		}
		synctest.Wait()
		for range threads {
			<-every
		}
		all.Wait()
	})
}

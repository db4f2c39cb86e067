package client

import (
	"errors"
	"strconv"
	"testing"
	"time"
)

func TestReplayMemoryForgets(t *testing.T) {
	m := replayMemory{keep: time.Minute}
	start := time.Unix(1_900_000_000, 0)
	use := func(id string, after time.Duration, want error) {
		t.Helper()
		if err := m.use("client", id, start.Add(after)); !errors.Is(err, want) {
			t.Errorf("%s after %s: %v, want %v", id, after, err, want)
		}
	}
	use("a", 0, nil)
	use("b", 59*time.Second, nil)
	use("c", 60*time.Second, nil)
	use("a", 60*time.Second, errReplay)
	use("b", 119*time.Second, errReplay) // a minute after its use
	use("b", 120*time.Second, nil)
	use("c", 120*time.Second, errReplay)
	use("c", 240*time.Second, nil) // both generations are too old
	if n := len(m.previous.seen); n != 0 {
		t.Errorf("%d assertions stay for ever", n)
	}
	// While the clock is behind, nothing is forgotten.
	use("d", time.Hour, nil)
	use("d", time.Minute, errReplay)
	use("d", time.Hour+59*time.Second, errReplay)
}

func TestReplayMemoryIsBounded(t *testing.T) {
	m := replayMemory{keep: time.Minute}
	now := time.Unix(1_900_000_000, 0)
	for i := range maxUsed {
		if i == maxUsed/2 {
			now = now.Add(time.Minute)
		}
		if err := m.use("busy", strconv.Itoa(i), now); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.use("busy", "one more", now); !errors.Is(err, errFull) {
		t.Errorf("got %v, want %v", err, errFull)
	}
	if err := m.use("busy", "0", now); !errors.Is(err, errReplay) {
		t.Errorf("got %v, want %v", err, errReplay)
	}
	if err := m.use("other", "one", now); err != nil {
		t.Errorf("another client: %v", err)
	}
	if err := m.use("busy", "one more", now.Add(time.Minute)); err != nil {
		t.Errorf("when the first ones are forgotten: %v", err)
	}
}

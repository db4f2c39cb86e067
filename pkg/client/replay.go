package client

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// maxUsed is how many assertions of one client are remembered: more than 900 a second for
// as long as one is valid. Further ones are refused, because they could be used twice.
const maxUsed = 1 << 16

var (
	errReplay = errors.New("the assertion was used before: each request needs one with a new jti")
	errFull   = errors.New("the client has used too many assertions within a minute or two, so that further ones cannot be remembered: " +
		"have it keep its token until that expires")
)

// replayMemory remembers the assertions that were used. It has two generations. An
// assertion stays for at least the time keep, and then goes with its generation, so that
// nothing has to be sorted or searched.
type replayMemory struct {
	keep time.Duration // longer than an assertion can be accepted

	mu       sync.Mutex
	since    time.Time // when current began
	current  usedAssertions
	previous usedAssertions
}

type usedAssertions struct {
	seen  map[[16]byte]struct{} // hashes of client and jti: 128 bits cannot collide by chance
	count map[string]int        // by client
}

// use remembers that a client used an assertion. The error says why it may not.
func (m *replayMemory) use(client, id string, now time.Time) error {
	now = now.Round(0) // the wall clock decides, as it does for iat
	sum := sha256.Sum256([]byte(client + "\x00" + id))
	hash := [16]byte(sum[:16])
	m.mu.Lock()
	defer m.mu.Unlock()
	// If the clock was set back, the generations stay, because old assertions are valid again.
	if m.current.seen == nil || now.Sub(m.since) >= m.keep {
		m.previous = m.current
		if now.Sub(m.since) >= 2*m.keep {
			m.previous = usedAssertions{}
		}
		m.current = usedAssertions{map[[16]byte]struct{}{}, map[string]int{}}
		m.since = now
	}
	_, inCurrent := m.current.seen[hash]
	_, inPrevious := m.previous.seen[hash]
	switch {
	case inCurrent || inPrevious:
		return errReplay
	case m.current.count[client]+m.previous.count[client] >= maxUsed:
		return errFull
	}
	m.current.seen[hash] = struct{}{}
	m.current.count[client]++
	return nil
}

package memory

import "maps"

// Backup copies the store, and returns a function that puts the copy back.
func (s *Store) Backup() (restore func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	record, sealed := s.record, maps.Clone(s.sealed)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.record, s.sealed = record, maps.Clone(sealed)
	}
}

package keys

import "fmt"

// A keyset moves to another store in two swaps. The first one marks the keyset in the old
// store as moved, and the second one creates it in the new store. To a process that uses
// the old store, the mark is a lost connection: it can change nothing any more, and it
// stops after max_staleness. Whatever happens in the new store after that, such a process
// differs in nothing from one that lost its connection to the new store.

// checkMoved refuses a keyset that is in another store now.
func (ks Keyset) checkMoved() error {
	if ks.MovedTo == "" {
		return nil
	}
	return &Refusal{Guard: GuardMoved, Text: fmt.Sprintf("the keyset was moved to %s: use that store; if the copy to it was interrupted, run 'jwksctl store copy' again", ks.MovedTo)}
}

// marked is the last version in the old store, which says where the keyset is.
func (ks Keyset) marked(target string) Keyset {
	ks.MovedTo = target
	ks.Version++
	return ks
}

// arrived is the first version in the new store. It has a new epoch, so that a machine
// that has seen it refuses every version in the old store, also those that are written
// there after a backup without the mark was restored.
func (ks Keyset) arrived() Keyset {
	ks.MovedTo = ""
	ks.Version++
	ks.Epoch++
	return ks
}

// checkEngine refuses to bring the keyset into a store whose engine needs a longer
// clock_skew. todo says where to raise it: it has a verb for the command.
func (ks Keyset) checkEngine(s Store, todo string) error {
	least := s.MinClockSkew()
	if err := ks.Policy.checkClockSkew(least); err != nil {
		return fmt.Errorf("%w: "+todo, err, fmt.Sprintf("'jwksctl serve --clock-skew %v'", least))
	}
	return nil
}

// raiseClockSkew is what to do if a store has a keyset whose clock_skew is too short for
// the engine, so that no server opens it. It has a verb for the command.
const raiseClockSkew = "back it up with 'jwksctl store backup', restore that in a SQLite store, run %s there once, and copy that store"

// errOccupied is the refusal of a store that has a keyset.
func errOccupied() error {
	return &Refusal{Guard: GuardTarget, Text: "this store has a keyset already: name an empty store, or move this one away first"}
}

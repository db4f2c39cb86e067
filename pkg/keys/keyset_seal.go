package keys

import "time"

// SetSealingKey is the keyset whose private keys are sealed under the sealing key with
// that name. stored are the kids of the private keys that the store has: all of them are
// put into it again, in the same swap. No stamp depends on it.
func (ks Keyset) SetSealingKey(now time.Time, name string, stored []string) (Keyset, Effect, error) {
	if ks.SealingKey == name {
		return ks, Effect{}, nil
	}
	d := ks.draft(now)
	d.ks.SealingKeyBefore, d.ks.SealingKey = ks.SealingKey, name
	d.effect.Put = stored
	d.addEvent(StepSeal, "")
	next, effect := d.finish()
	return next, effect, nil
}

package simulation

// How the private keys are sealed under another key.
func sealingMutations() []mutation {
	const (
		set      = "Ring.SetSealingKey"
		stored   = "Ring.openStored"
		damaged  = "TestAPrivateKeyThatCannotBeOpenedIsNotSealedAgain"
		restored = "TestABackupFromBeforeARotationOfTheSealingKey"
		why      = "a world does not look at what is damaged"
		rare     = "two rotations and the removal of two keys between two reads are rare"
	)
	rows := []mutation{
		mutate("the document keeps the name", "Keyset.SetSealingKey", "_, _ = _, _", with("d.ks.SealingKeyBefore = ks.SealingKey")),
		mutate("a private key keeps its seal", "Keyset.SetSealingKey", "_.Put = _", with("d.effect.Put = stored[1:]")),
		mutate("sealed under the earlier key", "Ring.swap", "next.SealingKey", // there is no earlier key when a keyset is created
			with(`map[bool]string{true: from.SealingKey, false: next.SealingKey}[from.SealingKey != ""]`)),
		mutate("opened under the first key", "Ring.openPrivateKey", "_.sealer.Open(_, _, _)", with("r.sealer.Open(r.sealer.Names()[0], sealed, sealingContext(public))")),
		mutate("sealed again by a wrong clock", set, "clockTrusted", with("clockAny")),
		mutate("the source is not read again", "Ring.hasSealingKey", "_.sealer.Reload(_)", with("error(nil)")),
		mutate("a private key that was sealed again is not read again", "Ring.openPrivateKeys", "_ != nil && _.changedSince(_, _)",
			with("errors.Is(err, ErrNoPrivateKey) && r.changedSince(ctx, v.ks)")),
		mutate("a change while private keys are read is a refusal", stored, "case _.changedSince(_, _):", never),
		mutate("the same key again", "Keyset.SetSealingKey", "_.SealingKey == _", never),
		mutate("a rotation that ended meanwhile is an alarm", "Ring.checkSealingKey", "case _.changedSince(_, _):", never).
			caughtBy("TestAnEarlierSealingKeyMayBeGoneWhenItIsLookedFor", rare),
		mutate("a rotation goes on after another one", set, "_.SealingKey != _", never).caughtBy("TestARotationOfTheSealingKeyAfterAnotherOne", rare),
		mutate("a key that the source does not have", set, "case !_:", never).caughtBy("TestASealingKeyThatIsNotInTheSource", "the operator of a world names a key that is in the source"),
		mutate("a damaged private key is left", stored, "case errors.Is(_, ErrNoPrivateKey) && _:", always).caughtBy(damaged, why),
		mutate("a private key that is missing is left", stored, "!slices.ContainsFunc(_, _)", always).caughtBy(damaged, why),
		mutate("a retired key must have its private key to be sealed again", stored, "case errors.Is(_, ErrNoPrivateKey) && _:", never).caughtBy(damaged, why),
		mutate("an accepted restore names the newer sealing key", "Keyset.merge", "_.SealingKey, _.SealingKeyBefore = _, _", removed).caughtBy(restored, notRestored),
		mutate("a restored private key is opened by the newer sealing key", "Ring.commitMerge", "_.Version, _.SealingKey = _, _",
			with("v.ks.Version = restored.Version")).caughtBy(restored, notRestored),
	}
	for i := range rows {
		rows[i].name = "sealing: " + rows[i].name
	}
	return rows
}

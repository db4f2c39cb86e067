package simulation

// The rules that a single document must keep.
func documentMutations() []mutation {
	const (
		validate = "Keyset.validate"
		why      = "a world's store has only what the steps make"
	)
	return []mutation{
		mutate("a kid is not the thumbprint", validate, "case _ == _ || _ != _.JWK.Thumbprint():", never).caughtBy("TestForeignDocumentsAreRefused", why),
		mutate("a kid occurs twice", validate, "case seen[_]:", never).caughtBy("TestBrokenDocumentsAreRefused", why),
		mutate("a retired key never expires", validate, "case !_.RetiredAt.IsZero() && _:", never).caughtBy("TestBrokenDocumentsAreRefused", why),
		mutate("revoked keys are published", validate, "case !_.RevokedAt.IsZero():", never).caughtBy("TestBrokenDocumentsAreRefused", why),
		mutate("two active keys", validate, "active != 1", with("active < 1")).caughtBy("TestBrokenDocumentsAreRefused", why),
		mutate("no active key", validate, "active != 1", with("active > 1")).caughtBy("TestBrokenDocumentsAreRefused", why),
		mutate("two pending keys", validate, "pending > 1", never).caughtBy("TestBrokenDocumentsAreRefused", why),
		mutate("a version that is not the store's", "decodeKeyset", "_.Version != _.Version", never).caughtBy("TestForeignDocumentsAreRefused", why),
	}
}

// The limits of a policy: D + 2M + 2e <= R and D + T + L + 2e <= 8R among them.
func policyMutations() []mutation {
	const (
		ready   = "Policy.validateSums: _ := _.MaxStaleness + 2*_.JWKSMaxAge + 2*_.ClockSkew"
		pileUp  = "Policy.validateSums: _ := _.MaxStaleness + _.TokenTTL + _.Leeway + 2*_.ClockSkew"
		sums    = "TestSumsOfDurations"
		least   = "TestTheStoresLeastClockSkew"
		noLeast = "the store of a world works with every clock_skew"
		why     = "a policy beyond it is late or full, and still safe: the gate and the cap hold"
	)
	return []mutation{
		mutate("durations without limits", "Policy.validateDurations", "*_ < _.least", never).caughtBy("TestDurationsHaveBounds", "worlds are drawn within the limits"),
		mutate("the default of clock_skew without the store's least", "Policy.fields", "max(_.MinClockSkew, _)", second).caughtBy(least, noLeast),
		mutate("settings may have a clock_skew that is too short", "Policy.checkStated", "_ != nil", never).caughtBy(least, noLeast),
		mutate("values by themselves may be too short for the store", "Settings.Validate", "_.checkStated(_)", with("nil")).caughtBy(least, noLeast),
		mutate("a keyset is created with a clock_skew that is too short", "CreateWithKey", "_.checkClockSkew(_)", with("nil")).
			caughtBy("TestNoKeysetIsCreatedWithAClockSkewThatIsTooShortForTheStore", noLeast),
		mutate("a clock_skew that is too short may be set", "Ring.SetPolicy", "_.MinClockSkew = _", removed).
			caughtBy("TestAClockSkewOfTheStoreIsKeptByAChangeOfThePolicy", noLeast),
		mutate("a copied keyset may have a clock_skew that is too short", "Ring.openPrivateKeys: if _ := _.checkEngine(_, _); _ != nil { _ }", "_ != nil", never).
			caughtBy("TestACopiedKeysetWithAClockSkewThatIsTooShortIsNotOpened", noLeast),
		mutate("max-age in fractions", "Policy.validateDurations", "_.JWKSMaxAge%time.Second != 0", never).caughtBy("TestPolicyRefusals", "worlds are drawn in whole seconds"),
		mutate("a gate longer than R, by D", ready, "_.MaxStaleness", zero).caughtBy(sums, why),
		mutate("a gate longer than R, by 2M", ready, "2*_.JWKSMaxAge", once).caughtBy(sums, why),
		mutate("a gate longer than R, by 2e", ready, "2*_.ClockSkew", once).caughtBy(sums, why),
		mutate("keys pile up, by D", pileUp, "_.MaxStaleness", zero).caughtBy(sums, why),
		mutate("keys pile up, by T", pileUp, "_.TokenTTL", zero).caughtBy(sums, why),
		mutate("keys pile up, by L", pileUp, "_.Leeway", zero).caughtBy(sums, why),
		mutate("keys pile up, by 2e", pileUp, "2*_.ClockSkew", once).caughtBy(sums, why),
	}
}

const notRestored = "the store of a world may answer with an old version, but is never restored from a backup"

// How a store that was restored from a backup is noticed.
func witnessMutations() []mutation {
	const (
		check    = "Keyset.checkNotRestored"
		detected = "TestChangesThatARestoredStoreLacksAreDetected"
		earlier  = "TestAnEarlierLimitIsRefused"
		refused  = "TestARestoredBackupIsRefusedUntilItIsAccepted"
	)
	return []mutation{
		mutate("another document of a version passes", check, "_.Epoch == _.Epoch && _", never).caughtBy(detected, notRestored),
		mutate("a key that has left is published", check, "slices.ContainsFunc(_, _)", never).caughtBy(detected, notRestored),
		mutate("a key may be unknown", check, "!_.contains(_) && _", never).caughtBy(detected, notRestored),
		mutate("acts_until may be earlier", check, "_.ActsUntil.Before(_)", never).caughtBy(earlier, notRestored),
		mutate("docs_until may be earlier", check, "_.DocsUntil.Before(_)", never).caughtBy(earlier, notRestored),
		mutate("tokens_until may be earlier", check, "_.TokensUntil.Before(_)", never).caughtBy(earlier, notRestored),
		mutate("an older epoch passes", "Keyset.older", "_.Epoch < _.Epoch", with("ks.Version < other.Version")).caughtBy(refused, notRestored),
		mutate("the witness is not asked", "Ring.loadChecked", "_.checkNotRestored(_) != nil", never).caughtBy(refused, notRestored),
		mutate("the store is not read again", "Ring.loadChecked: _, _ = _.loadUsable(_)", "_.loadUsable(_)", with("v, nil")).
			caughtBy("TestAChangeBetweenTheTwoReadsIsNoRestore", notRestored),
		mutate("the witness is not written", "Ring.recordInWitness", "_.witness.Store(_, _)", with("error(nil)")).caughtBy(refused, notRestored),
		mutate("the witness goes back", "Ring.recordInWitness", "_.checkNotRestored(_) == nil", always).
			caughtBy("TestTheWitnessKeepsTheNewestDocument", notRestored),
		mutate("a lost update is not repeated", "Ring.recordInWitness", "!bytes.Equal(_, _)", with("document == nil")).
			caughtBy("TestALostUpdateOfTheWitnessIsRepeated", notRestored),
		mutate("a restore is accepted by a wrong clock", "Ring.commitMerge: if _ := _.clock.check(_, _, _); _ != nil { _ }", "_ != nil", never).
			caughtBy("TestAcceptNeedsAClockThatIsRight", notRestored),
		mutate("a restore is tried once", "acceptRestore", "!errors.Is(_, ErrConflict) && !errors.Is(_, ErrTooLate) && _", always).
			caughtBy("TestAcceptRestoreIsTriedAgainAfterAConflict", notRestored),
	}
}

// How a restored document and the newer one that was seen before become one.
func mergeMutations() []mutation {
	const (
		acts    = "Keyset.merge: _.ActsUntil = _"
		docs    = "Keyset.merge: _.DocsUntil = _"
		tokens  = "Keyset.merge: _.TokensUntil = _"
		expires = "draft.mergePublished: _.ExpiresAt = latest(_, _)"

		bounds  = "TestAMergeKeepsTheLatestBounds"
		newer   = "TestAMergeIsNewerThanBoth"
		signed  = "TestAKeyThatSignedOnTheRestoredStoreStaysForItsTokens"
		history = "TestTheHistoriesAreMerged"
	)
	rows := []mutation{
		mutate("acts_until without D", acts, "_.MaxStaleness", zero).caughtBy(bounds, notRestored),
		mutate("acts_until without e", acts, "_.ClockSkew", zero).caughtBy(bounds, notRestored),
		mutate("acts_until of the newer document alone", acts, "latest(_.ActsUntil, _.ActsUntil)", second).caughtBy(bounds, notRestored),
		mutate("acts_until of the restored document alone", acts, "latest(_.ActsUntil, _.ActsUntil)", first).caughtBy(bounds, notRestored),
		mutate("docs_until with M for 2M", docs, "2*_.JWKSMaxAge", once).caughtBy(bounds, notRestored),
		mutate("docs_until of the newer document alone", docs, "latest(_.DocsUntil, _.DocsUntil)", second).caughtBy(bounds, notRestored),
		mutate("docs_until of the restored document alone", docs, "latest(_.DocsUntil, _.DocsUntil)", first).caughtBy(bounds, notRestored),
		mutate("tokens_until without T", tokens, "_.TokenTTL", zero).caughtBy(bounds, notRestored),
		mutate("tokens_until without e", tokens, "_.ClockSkew", zero).caughtBy(bounds, notRestored),
		mutate("tokens_until of the newer document alone", tokens, "latest(_.TokensUntil, _.TokensUntil)", second).caughtBy(bounds, notRestored),
		mutate("tokens_until of the restored document alone", tokens, "latest(_.TokensUntil, _.TokensUntil)", first).caughtBy(bounds, notRestored),
		mutate("the epoch stays", "Keyset.merge", "max(_, _) + 1", with("max(ks.Epoch, seen.Epoch)")).caughtBy(newer, notRestored),
		mutate("changed_at of the newer document alone", "Keyset.merge: _.ChangedAt = _", "latest(_, _)", second).caughtBy(newer, notRestored),
		mutate("a specimen stays", "Keyset.merge", "_.Specimen = nil", removed).caughtBy("TestAMergeDropsTheSpecimensOfBoth", notRestored),
		mutate("a key that left unused is gone", "draft.mergeGone", "case _.key(_) != nil && _.unused():", never).
			caughtBy("TestAMergeKeepsAKeyThatLeftUnused", notRestored),
		mutate("a key that was revoked in one document signs", "draft.mergeGone", "case _.key(_) != nil:", never).
			caughtBy("TestAKeyThatWasRevokedElsewhereStaysRevoked", notRestored),
		mutate("a revocation becomes an expiry", "draft.mergeGone", "case _.RevokedAt.IsZero() && !_.RevokedAt.IsZero():", never).caughtBy(history, notRestored),
		mutate("a revocation of one document is lost", "draft.mergeGone", "_.History = append(_.History, _)", removed).caughtBy(history, notRestored),
		mutate("a key that has left comes back", "draft.mergePublished", "_ >= 0 && (!_ || _)", never).
			caughtBy("TestAMergeBringsNoExpiredKeyBack", notRestored),
		mutate("expires_at of the newer document alone", expires, "latest(_, _)", first).caughtBy(signed, notRestored),
		mutate("expires_at of the restored document alone", expires, "latest(_, _)", second).caughtBy(signed, notRestored),
		mutate("a private key stays", "draft.mergePublished", "_.Delete = append(_.Delete, _)", removed).caughtBy(signed, notRestored),
		mutate("the pending key does not wait again", "draft.ensurePending", "_.ReadyAt = latest(_, _)", with("_ = k")).
			caughtBy("TestAPendingKeyStaysIfItsPrivateKeyIsInTheBackup", notRestored),
		mutate("a pending key that cannot be opened stays", "draft.ensurePending", "_ && _.checkOpened(_) != nil", never).
			caughtBy("TestAPendingKeyIsReplacedIfItsPrivateKeyIsNotInTheBackup", notRestored),
		mutate("the history has no limit", "Keyset.merge", "_.trimHistory()", removed).caughtBy("TestAMergeOfHistories", notRestored),
	}
	for i := range rows {
		rows[i].name = "merge: " + rows[i].name
	}
	return rows
}

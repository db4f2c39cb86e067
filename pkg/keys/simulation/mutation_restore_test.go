package simulation

// The rules that a document by itself must keep, and a policy.
func documentMutations() []mutation {
	const why = "a world's store holds only what the steps make"
	rule := func(name, test, old string) mutation {
		return mutation{name: name, old: old, new: "case false:", test: test, why: why}
	}
	return []mutation{
		rule("a kid is not the thumbprint", "TestForeignDocumentsAreRefused", "case kid == \"\" || kid != k.JWK.Thumbprint():"),
		rule("a kid stands twice", "TestBrokenDocumentsAreRefused", "case seen[kid]:"),
		rule("a retired key never expires", "TestBrokenDocumentsAreRefused", "case !k.RetiredAt.IsZero() && k.ExpiresAt.IsZero():"),
		{name: "revoked keys are live", old: "case !k.RevokedAt.IsZero():\n\t\t\treturn fmt", new: "case false:\n\t\t\treturn fmt", test: "TestBrokenDocumentsAreRefused", why: why},
		{name: "two active keys", old: "if active != 1 || pending > 1 {", new: "if active < 1 || pending > 1 {", test: "TestBrokenDocumentsAreRefused", why: why},
		{name: "no active key", old: "if active != 1 || pending > 1 {", new: "if active > 1 || pending > 1 {", test: "TestBrokenDocumentsAreRefused", why: why},
		{name: "two pending keys", old: "if active != 1 || pending > 1 {", new: "if active != 1 {", test: "TestBrokenDocumentsAreRefused", why: why},
		{name: "a version that is not the store's", old: "if ks.Version != r.Version {", new: "if false {", test: "TestForeignDocumentsAreRefused", why: why},
		{name: "durations without bounds", old: "if *d.at < least[i] || *d.at > maxDuration {", new: "if *d.at > maxDuration {", test: "TestDurationsHaveBounds", why: "worlds are drawn inside of the bounds"},
		{name: "max-age in fractions", old: "if p.JWKSMaxAge%time.Second != 0 {", new: "if false {", test: "TestPolicyRefusals", why: "worlds are drawn in whole seconds"},
	}
}

// D + 2M + 2e <= R and D + T + L + 2e <= 8R.
func sumMutations() []mutation {
	const (
		ready = "sum := p.MaxStaleness + 2*p.JWKSMaxAge + 2*p.ClockSkew"
		pile  = "sum := p.MaxStaleness + p.TokenTTL + p.Leeway + 2*p.ClockSkew"
	)
	var out []mutation
	add := func(name, old, weaker string) {
		out = append(out, mutation{
			name: name, old: old, new: weaker,
			test: "TestSumsOfDurations", why: "a policy beyond it is late or full, and safe all the same: the gate and the cap hold",
		})
	}
	add("a gate longer than R, by D", ready, "sum := 2*p.JWKSMaxAge + 2*p.ClockSkew")
	add("a gate longer than R, by 2M", ready, "sum := p.MaxStaleness + p.JWKSMaxAge + 2*p.ClockSkew")
	add("a gate longer than R, by 2e", ready, "sum := p.MaxStaleness + 2*p.JWKSMaxAge + p.ClockSkew")
	add("keys pile up, by D", pile, "sum := p.TokenTTL + p.Leeway + 2*p.ClockSkew")
	add("keys pile up, by T", pile, "sum := p.MaxStaleness + p.Leeway + 2*p.ClockSkew")
	add("keys pile up, by L", pile, "sum := p.MaxStaleness + p.TokenTTL + 2*p.ClockSkew")
	add("keys pile up, by 2e", pile, "sum := p.MaxStaleness + p.TokenTTL + p.Leeway + p.ClockSkew")
	return out
}

const unrestored = "the store of a world may answer with an old version, but is not restored"

// What a document may not forget that was seen before.
func witnessMutations() []mutation {
	var out []mutation
	add := func(name, test, old, weaker string) {
		out = append(out, mutation{name: name, old: old, new: weaker, test: test, why: unrestored})
	}
	const bound = "TestABoundThatCameNearerIsForgotten"
	add("another document of a version passes", "TestWhatAForkForgotIsNoticed", "if ks.Epoch == seen.Epoch && ks.Version == seen.Version {", "if false {")
	add("a key that left is published", "TestWhatAForkForgotIsNoticed", "if slices.ContainsFunc(seen.History, left) {", "if slices.ContainsFunc(seen.History, left) && false {")
	add("a key may be unknown", "TestWhatAForkForgotIsNoticed", "if !ks.holds(k.KeyID()) && len(ks.History) < maxHistory {", "if false {")
	add("acts_until may come nearer", bound, "if ks.ActsUntil.Before(seen.ActsUntil) || ks.Docs", "if ks.Docs")
	add("docs_until may come nearer", bound, "ks.DocsUntil.Before(seen.DocsUntil) || ", "")
	add("tokens_until may come nearer", bound, " || ks.TokensUntil.Before(seen.TokensUntil)", "")
	add("an older epoch passes", "TestARestoredBackupIsRefusedUntilItIsAccepted", "return ks.Epoch < other.Epoch", "return ks.Version < other.Version")
	add("nobody asks the witness", "TestARestoredBackupIsRefusedUntilItIsAccepted", "\treturn ks.forgets(seen)\n}\n\n// remembers", "\t_ = seen\n\treturn nil\n}\n\n// remembers")
	add("the witness is not told", "TestARestoredBackupIsRefusedUntilItIsAccepted", "\t\t\treturn document\n", "\t\t\t_ = document\n\t\t\treturn nil\n")
	add("the witness forgets", "TestTheWitnessForgetsNothing", "err == nil && ks.forgets(seen) != nil {", "err == nil && ks.forgets(seen) != nil && false {")
	add("a restore is accepted by a wrong clock", "TestAcceptNeedsAClockThatIsRight", "if refusal := r.watch.trouble(now, ks, sighting{}); refusal != nil {", "if refusal := r.watch.trouble(now, ks, sighting{}); false && refusal != nil {")
	add("a restore is accepted once", "TestAcceptMeetsAnotherChange", "if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrTooLate) && !errors.Is(err, errMoved) {", "if true {")
	return out
}

// How a restored document and what was seen before become one.
func mergeMutations() []mutation {
	const (
		acts   = "latest(latest(ks.ActsUntil, seen.ActsUntil), now.Add(ks.Policy.MaxStaleness+ks.Policy.ClockSkew))"
		docs   = "latest(latest(ks.DocsUntil, seen.DocsUntil), d.ks.ActsUntil.Add(2*ks.Policy.JWKSMaxAge))"
		tokens = "latest(latest(ks.TokensUntil, seen.TokensUntil), d.ks.ActsUntil.Add(ks.Policy.TokenTTL+ks.Policy.ClockSkew))"
		bounds = "TestAMergeKeepsTheLatestBounds"
		signed = "TestAKeyThatSignedOnTheRestoredLineStaysForItsTokens"
	)
	var out []mutation
	add := func(name, test, old, weaker string) {
		out = append(out, mutation{name: "merge: " + name, old: old, new: weaker, test: test, why: unrestored})
	}
	add("acts_until without D", bounds, acts, "latest(latest(ks.ActsUntil, seen.ActsUntil), now.Add(ks.Policy.ClockSkew))")
	add("acts_until without e", bounds, acts, "latest(latest(ks.ActsUntil, seen.ActsUntil), now.Add(ks.Policy.MaxStaleness))")
	add("acts_until of one line", bounds, acts, "latest(seen.ActsUntil, now.Add(ks.Policy.MaxStaleness+ks.Policy.ClockSkew))")
	add("acts_until of the other line", bounds, acts, "latest(ks.ActsUntil, now.Add(ks.Policy.MaxStaleness+ks.Policy.ClockSkew))")
	add("docs_until without 2M", bounds, docs, "latest(latest(ks.DocsUntil, seen.DocsUntil), d.ks.ActsUntil.Add(ks.Policy.JWKSMaxAge))")
	add("docs_until of one line", bounds, docs, "latest(seen.DocsUntil, d.ks.ActsUntil.Add(2*ks.Policy.JWKSMaxAge))")
	add("docs_until of the other line", bounds, docs, "latest(ks.DocsUntil, d.ks.ActsUntil.Add(2*ks.Policy.JWKSMaxAge))")
	add("tokens_until without T", bounds, tokens, "latest(latest(ks.TokensUntil, seen.TokensUntil), d.ks.ActsUntil.Add(ks.Policy.ClockSkew))")
	add("tokens_until without e", bounds, tokens, "latest(latest(ks.TokensUntil, seen.TokensUntil), d.ks.ActsUntil.Add(ks.Policy.TokenTTL))")
	add("tokens_until of one line", bounds, tokens, "latest(seen.TokensUntil, d.ks.ActsUntil.Add(ks.Policy.TokenTTL+ks.Policy.ClockSkew))")
	add("tokens_until of the other line", bounds, tokens, "latest(ks.TokensUntil, d.ks.ActsUntil.Add(ks.Policy.TokenTTL+ks.Policy.ClockSkew))")
	add("the epoch stays", "TestAMergeIsNewerThanBoth", "max(ks.Epoch, seen.Epoch)+1", "max(ks.Epoch, seen.Epoch)")
	add("changed_at of one line", "TestAMergeIsNewerThanBoth", "d.ks.ChangedAt = latest(ks.ChangedAt, seen.ChangedAt)", "d.ks.ChangedAt = seen.ChangedAt")
	add("a specimen stays", "TestAMergeDropsTheSpecimensOfBoth", "\td.ks.Specimen = nil\n\tfor", "\tfor")
	add("what left unused is gone", "TestAMergeKeepsWhatLeftUnused", "case d.at(kid) != nil && gone.unused():", "case false:")
	add("what was revoked there signs here", "TestAKeyThatWasRevokedElsewhereStaysRevoked", "case d.at(kid) != nil:\n", "case false:\n")
	add("a revocation there is told as an expiry", "TestTheHistoriesAreMerged", "case d.ks.History[known].RevokedAt.IsZero() && !gone.RevokedAt.IsZero():", "case false:")
	add("what only one line revoked is forgotten", "TestTheHistoriesAreMerged", "case known < 0:\n\t\td.ks.History = append(d.ks.History, gone)", "case known < 0:")
	add("what has left comes back", "TestAMergeBringsNoExpiredKeyBack", "if gone >= 0 && (!signed || !d.ks.History[gone].unused()) {", "if false {")
	add("expires_at of one line", signed, "known.ExpiresAt = latest(was.ExpiresAt, k.ExpiresAt)", "known.ExpiresAt = was.ExpiresAt")
	add("expires_at of the other line", signed, "known.ExpiresAt = latest(was.ExpiresAt, k.ExpiresAt)", "known.ExpiresAt = k.ExpiresAt")
	add("a half stays", signed, "\t\treturn // it signs, or will\n\t}\n\td.effect.Delete = append(d.effect.Delete, kid)\n", "\t\treturn // it signs, or will\n\t}\n")
	add("the pending key does not wait again", "TestAPendingKeyStaysIfItsHalfIsInTheBackup", "k.ReadyAt = latest(k.ReadyAt, d.readyAt())", "_ = k")
	add("a pending key that cannot be opened stays", "TestAPendingKeyIsReplacedIfItsHalfIsNotInTheBackup", "ok && m.openable(p) != nil {", "ok && m.openable(p) != nil && false {")
	add("the history has no bound", "TestAMergeOfHistories", "\td.trim()\n\td.readyPending(m)", "\td.readyPending(m)")
	return out
}

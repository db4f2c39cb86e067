package simulation

import "slices"

// mutations is the table: every guard, and every term of every formula.
func mutations() []mutation {
	return slices.Concat(gateMutations(), retirementMutations(), policyChangeMutations(), revocationMutations(),
		scheduleMutations(), fenceMutations(), clockMutations(), storeMutations(),
		documentMutations(), policyMutations(), witnessMutations(), mergeMutations(), lateMutations(), copyMutations(),
		sealingMutations())
}

// ready_at = max(now + D + 2M + e, docs_until), and the gate that reads it.
func gateMutations() []mutation {
	return []mutation{
		mutate("ready_at without D", "draft.readyAt", "_.MaxStaleness", zero),
		mutate("ready_at without 2M", "draft.readyAt", "2*_.JWKSMaxAge", zero),
		mutate("ready_at with M for 2M", "draft.readyAt", "2*_.JWKSMaxAge", once),
		mutate("ready_at without e", "draft.readyAt", "_.ClockSkew", zero),
		mutate("ready_at without docs_until", "draft.readyAt", "latest(_, _)", first),
		mutate("no gate for an operator", "draft.takeOver", "_ != nil && !_.Force", never),
		mutate("no gate for the schedule", "Keyset.Upcoming", "latest(_, _.ReadyAt)", first),
		mutate("no rotation interval", "Keyset.Upcoming", "_.ActiveAt.Add(_.RotationInterval)", with("active.ActiveAt")),
		mutate("a forced step is not marked", "draft.activate", "_.Before(_.ReadyAt)", never),
	}
}

// destroy_at = max(now + D + e, acts_until) and
// expires_at = max(now + D + T + 2e, tokens_until) + L.
func retirementMutations() []mutation {
	const (
		destroy = "draft.retire: _.DestroyAt = _"
		expire  = "draft.retire: _.ExpiresAt = _"
	)
	return []mutation{
		mutate("destroy_at without D", destroy, "_.MaxStaleness", zero),
		mutate("destroy_at without e", destroy, "_.ClockSkew", zero),
		mutate("destroy_at without acts_until", destroy, "latest(_, _)", first).seeded(59),
		mutate("expires_at without D", expire, "_.MaxStaleness", zero),
		mutate("expires_at without T", expire, "_.TokenTTL", zero),
		mutate("expires_at without e", expire, "2*_.ClockSkew", zero),
		mutate("expires_at with e for 2e", expire, "2*_.ClockSkew", once),
		mutate("expires_at without tokens_until", expire, "latest(_, _)", first),
		mutate("expires_at without L after tokens_until", expire, "latest(_, _).Add(_.Leeway)",
			with("latest(d.now.Add(p.MaxStaleness+p.TokenTTL+2*p.ClockSkew+p.Leeway), d.ks.TokensUntil)")),
		mutate("expires_at without L", expire, "_.Leeway", zero),
		mutate("private keys are destroyed when keys retire", "Keyset.Upcoming: add(StepDestroy, _, _)", "_.DestroyAt", with("k.RetiredAt")),
		mutate("keys leave when their private keys do", "Keyset.Upcoming: add(StepExpire, _, _)", "_.ExpiresAt", with("k.DestroyAt")),
	}
}

// acts_until, docs_until and tokens_until, which each change of policy raises, and the
// time from which a longer leeway may be allowed. Whether the old or the new e counts is
// not in the table: the clocks of a world keep to the lower one until nothing is left
// that was stamped under it.
func policyChangeMutations() []mutation {
	const (
		acts   = "Keyset.SetPolicy: _.ActsUntil = _"
		docs   = "Keyset.SetPolicy: _.DocsUntil = _"
		tokens = "Keyset.SetPolicy: _.TokensUntil = _"
		leeway = "Keyset.LeewayValidFrom"
	)
	return []mutation{
		mutate("acts_until is not raised", acts, "latest(_, _)", first),
		mutate("acts_until drops its old value", acts, "latest(_, _)", second),
		mutate("acts_until without D", acts, "_.MaxStaleness", zero),
		mutate("acts_until without e", acts, "_.ClockSkew", zero).seeded(103),
		mutate("acts_until by the new D", acts, "_.MaxStaleness", with("p.MaxStaleness")),
		mutate("docs_until is not raised", docs, "latest(_, _)", first),
		mutate("docs_until drops its old value", docs, "latest(_, _)", second),
		mutate("docs_until without acts_until", docs, "_.ActsUntil", with("now")),
		mutate("docs_until without 2M", docs, "2*_.JWKSMaxAge", zero),
		mutate("docs_until with M for 2M", docs, "2*_.JWKSMaxAge", once),
		mutate("docs_until by the new M", docs, "_.JWKSMaxAge", with("p.JWKSMaxAge")),
		mutate("tokens_until is not raised", tokens, "latest(_, _)", first),
		mutate("tokens_until drops its old value", tokens, "latest(_, _)", second),
		mutate("tokens_until without acts_until", tokens, "_.ActsUntil", with("now")),
		mutate("tokens_until without T", tokens, "_.TokenTTL", zero),
		mutate("tokens_until without e", tokens, "_.ClockSkew", zero).seeded(3051),
		mutate("tokens_until by the new T", tokens, "_.TokenTTL", with("p.TokenTTL")),
		mutate("every change of the policy replaces the pending key", "Keyset.SetPolicy", "_ && _ && !_.matchesKey(_)", with("ok || otherKeys")),
		mutate("a longer leeway at once", leeway, "latest(_, _)", first).seeded(41),
		mutate("a longer leeway when the keys have left", leeway, "_.ExpiresAt.Add(_.Leeway)", with("k.ExpiresAt")).seeded(41),
		mutate("a longer leeway revives keys that have left", leeway, "slices.Concat(_, _)", with("slices.Concat(ks.Keys)")).seeded(41),
	}
}

// What a revocation does and promises, and an import.
func revocationMutations() []mutation {
	const (
		bounds = "Keyset.RevocationBounds"
		served = "Keyset.RevocationBounds: _ := latest(_, _)"
		cached = "latest(_.Add(_.JWKSMaxAge), _)"
		noAge  = "latest(_.Add(2*_.JWKSMaxAge), _)"
		left   = "Keyset.Revoke: if _ := &_[_]; _.RevokedAt.IsZero() { _ }"
	)
	return []mutation{
		mutate("bound without D", served, "_.MaxStaleness", zero),
		mutate("bound without e", served, "_.ClockSkew", zero),
		mutate("bound without acts_until", served, "latest(_, _)", first).seeded(457),
		mutate("cache bound without M", bounds+": "+cached, "_.JWKSMaxAge", zero),
		mutate("cache bound without docs_until", bounds, cached, first).seeded(1916),
		mutate("no-Age bound with M for 2M", bounds+": "+noAge, "2*_.JWKSMaxAge", once),
		mutate("no-Age bound without docs_until", bounds, noAge, first).seeded(317),
		mutate("a revocation keeps the private key", "Keyset.Revoke", "_.Delete = append(_.Delete, _)", removed),
		mutate("a revocation keeps the key", "Keyset.Revoke", "_.moveToHistory(_)", removed),
		mutate("a revocation does not mark a key that has left", left, "_.RevokedAt, _.Reason = _, _", removed),
		mutate("a revocation needs no successor", "Keyset.Revoke", "_.State(_) == Active", never),
		mutate("a revoked key is revoked again", left, "_.RevokedAt.IsZero()", always).seeded(31),
		mutate("a revoked key that was destroyed is destroyed again", "Keyset.Revoke", "_.DestroyedAt.IsZero()", always).seeded(43),
		mutate("an import brings a kid back", "Keyset.Import", "_.contains(_)", never).seeded(283),
		mutate("an import keeps the pending key", "Keyset.Import", "_.discard(_, _)", with("_ = p")).seeded(34),
		mutate("an import beyond the cap", "Keyset.Import", "_ != nil", never).
			caughtBy("TestTheSetIsCapped", "a set that is full and has no pending key is rare in a world"),
		mutate("an imported key leaves the history", "draft.leastNeeded", "case _.Imported:", never).
			caughtBy("TestTheHistoryNeverDropsImportedKeys", "worlds are too short"),
	}
}

// How the schedule takes its steps.
func scheduleMutations() []mutation {
	return []mutation{
		mutate("the schedule activates a key that cannot be opened", "Keyset.heldBack", "_ != nil", never).seeded(70),
		mutate("an operator activates a key that cannot be opened", "draft.takeOver", "case _ && _ == nil:", with("ok")),
		mutate("a key that cannot be opened is replaced without force", "draft.takeOver", "case !_.Force || _:", with(`in.Fresh.KeyID() == ""`)).
			and("draft.takeOver", "case !_.Force && _:", never),
		mutate("no successor in the schedule's swap", "Keyset.Advance", "_.publish(_)", with("if e.Step == StepPublish {\nd.publish(fresh)\n}")),
		mutate("no successor in an operator's swap", "Keyset.Rotate", "_.publishFresh(_)", removed),
		mutate("no cap", "Keyset.checkCap", "len(_) < maxPublished", always).seeded(107),
		mutate("the cap by one clock", "Keyset.checkCap: len(_) < maxPublished", "_.Add(-_)", with("now")).seeded(2395),
		mutate("timed steps are taken too early", "Keyset.Advance: if _.At.After(_) { break }", "_.At.After(_)", never),
		mutate("a second pending key", "Keyset.Upcoming", "!ok", always),
		mutate("a new key is used twice", "draft.takeOver", "_.Fresh = _", with("_ = jwk.PublicKey{}")),
		mutate("no successor from the first document on", "createKeyset", "_.addKey(Key{JWK: _, CreatedAt: _, ReadyAt: _})", removed),
		mutate("the specimen is not created expired", "draft.replaceSpecimen", "&Key{JWK: _, CreatedAt: _, RetiredAt: _, ExpiresAt: _}",
			with("&Key{JWK: fresh, CreatedAt: d.now, RetiredAt: d.now}")),
		mutate("the JWKS does not follow the clock", "Ring.Published", "_.IsZero() || _.Before(_)", always),
		mutate("expired keys verify", "Keyset.Find", "_ && _.published(_)", with("k.KeyID() == kid")),
		mutate("expired keys stay", "Key.State", "case !_.ExpiresAt.IsZero() && _:", never),
		mutate("keys that have left are published", "Keyset.Public", "_ := make(_, 0, _)",
			with("ks.Keys = ks.allKeys()\npublished := make([]*Key, 0, len(ks.Keys))")),
		mutate("destroying keeps the private key", "draft.destroy", "_.Delete = append(_.Delete, _)", removed),
		mutate("discarding keeps the private key", "draft.discard", "_.Delete = append(_.Delete, _)", removed),
		mutate("expired keys do not move to the history", "draft.expire", "_.moveToHistory(_)", removed).
			caughtBy("TestARetiredKeyIsDestroyedAndThenExpires", "it only makes documents longer"),
		mutate("the newest stamp goes back", "draft.finish", "latest(_, _)", second),
		mutate("the history has no limit", "draft.trimHistory", "len(_) > maxHistory", with("len(d.ks.History) > 1000")).
			caughtBy("TestHistoryIsBoundedAndDropsTheLeastNeededKey", "worlds are too short"),
	}
}

// What a process may do with what it last read.
func fenceMutations() []mutation {
	const fence = "if _ := _.fence(_); _ != nil { _ }"
	return []mutation{
		mutate("no fence for signing", "Ring.SigningKey", fence, removed),
		mutate("no fence for publishing", "Ring.Published", fence, removed),
		mutate("no fence for verifying", "Ring.Keys", fence, removed),
		mutate("no fence for the specimen", "SpecimenSigner.SigningKey", "case _.fence(_) != nil:", never),
		mutate("a specimen against the policy", "SpecimenSigner.SigningKey", "case !_.ExpiredTokens:", never),
		mutate("a specimen for valid tokens", "SpecimenSigner.SigningKey", "_.Add(-time.Hour)", with("at.wall")),
		mutate("a looser fence", "view.fence", "_ > _.MaxStaleness", with("age > v.ks.Policy.MaxStaleness+v.ks.Policy.ClockSkew/2")),
		mutate("age by the wall clock alone", "reading.since", "max(_, _)", first),
		mutate("age by the uptime alone", "reading.since", "max(_, _)", second),
		mutate("confirmed by the response", "Ring.loadDocument", "view{document: _, confirmedAt: _, storeTime: _}",
			with("view{document: rec.Document, confirmedAt: r.clock.read(), storeTime: storeTime{rec.Now, at, r.clock.readUnchecked()}}")),
		mutate("an unreadable key signs", "Ring.SigningKey: if _ := _.active.err; _ != nil { _ }", "_ != nil", never),
	}
}

// Clocks that cannot be trusted.
func clockMutations() []mutation {
	const (
		setPolicy = "clockMonitor.setPolicy"
		sum       = "clockMonitor.setPolicy: _.MaxStaleness+2*_.JWKSMaxAge+_.TokenTTL+_.Leeway+2*_.ClockSkew"
		read      = "clockMonitor.read"
		check     = "clockMonitor.check"
		noFuture  = "no clock of a world is years ahead"
	)
	return []mutation{
		mutate("a jump is settled without D", sum, "_.MaxStaleness", zero).seeded(680),
		mutate("a jump is settled without 2M", sum, "2*_.JWKSMaxAge", zero).seeded(103),
		mutate("a jump is settled without T", sum, "_.TokenTTL", zero).seeded(103),
		mutate("a jump is settled without L", sum, "_.Leeway", zero).seeded(103),
		mutate("a jump is settled without 2e", sum, "2*_.ClockSkew", zero).seeded(103),
		mutate("a jump is settled without docs_until", setPolicy, "_.DocsUntil.Sub(_)", with("0")).seeded(12908),
		mutate("a jump is settled without tokens_until", setPolicy, "_.TokensUntil.Add(_).Sub(_)", with("0")).seeded(430),
		mutate("a jump is settled without L after tokens_until", setPolicy, "_.TokensUntil.Add(_)", with("ks.TokensUntil")).seeded(5892),
		mutate("a jump is settled by the newest policy", setPolicy, "_.jumped", never).seeded(3181),
		mutate("a jump is noticed late", read, "case _.Abs() <= _.skew:", with("deviation.Abs() <= 3*m.skew")).seeded(133),
		mutate("a second jump is settled with the first", read, "_ > _.skew", with("change > 1000000*m.skew")).seeded(8187),
		mutate("a jump is soon over", read, "_ > _.settle", with("now.up-m.jumpedAt > m.settle/2")).seeded(103),
		mutate("safe by the clock before the jump", read, "earliest(_, _)", second).seeded(310),
		mutate("safe by the clock after the jump", read, "earliest(_, _)", first).seeded(22),
		mutate("small jumps do not add up", read, "_ / 1000", with("elapsed")).
			caughtBy("TestSmallJumpsAddUp", "the clocks of a world jump far or stay within their share"),
		mutate("a read that is too slow confirms the clock", "clockMonitor.observe", "_ >= -_ && _ <= _", with("least <= e && most >= -e")).seeded(10306),
		mutate("a wrong clock is trusted until a step", "clockMonitor.observe", "_.distrust(_, _)", with("_ = most")).seeded(359),
		mutate("a slow read hides a wrong clock", "storeTime.offset", "_ + _.up - _.up", with("least")).seeded(38),
		mutate("no clock fence", "Ring.decide", "_ != nil && (_ == clockTrusted || _)", never),
		mutate("no clock fence for a change of the policy", "Ring.decide", "_ != nil && _ == clockTrustedToChange && _", never),
		mutate("a key is ready by a wrong clock", "Keyset.Revoke", "earliest(_, _)", first).
			caughtBy("TestRevokeTheActiveKeyWithAWrongClock", "a wrong clock rarely meets a revocation of the active key"),
		mutate("a key is published by a wrong clock", "draft.publishFresh", "_.Safe.IsZero()", always).
			caughtBy("TestRevokeWithAWrongClock", "a wrong clock rarely meets a revocation that leaves no pending key"),
		mutate("a key is ready by a clock that a slow store cannot judge", "storeTime.safe", "now.wall.Add(-_)", with("now.wall.Add(0 * most)")).
			caughtBy("TestASlowStoreDoesNotMakeAKeyReady", "it needs a slow store, a clock that is ahead and a revocation"),
		mutate("a revocation writes stamps of the future", "Ring.decide", "if _.Safe = _; _ { _ }", with("in.Safe = v.storeTime.safe(now)")).
			caughtBy("TestRevokeWithAWrongClock", "no stamp of a world is wrong"),
		mutate("a revocation writes stamps of the past", "Ring.decide", "latest(_, _)", first).
			caughtBy("TestRevokeWithAWrongClock", "no bound is computed from such a stamp"),
		mutate("accept-clock with a right clock", "Keyset.AcceptClock", "_.newest.Sub(_) <= _.ClockSkew", never).
			caughtBy("TestAcceptClockWithNothingToAccept", noFuture),
		mutate("accept-clock leaves the past in the future", "acceptance.past", "_.After(_)", never).
			caughtBy("TestAcceptClockMovesEveryStampBack", noFuture),
		mutate("accept-clock forgets an earlier policy", "acceptance.due", "latest(_, _)", first).
			caughtBy("TestAcceptClockMovesEveryStampBack", noFuture),
		mutate("accept-clock moves stamps of right clocks", "acceptance.due", "_.Sub(_) <= _.Sub(_)", never).
			caughtBy("TestAcceptClockKeepsStampsOfRightClocks", noFuture),
		mutate("accepted stamps look like a backup", "Keyset.checkNotRestored", "_.ClockEpoch > _.ClockEpoch", never).
			caughtBy("TestAcceptClockMovesEveryStampBack", noFuture),
		mutate("no fence after a jump", check, "_.jumped", never).seeded(46),
		mutate("no fence behind the newest stamp", check, "behind > _", never).seeded(663),
		mutate("no fence ahead of the store", check, "case _ > _:", never).seeded(111),
		mutate("no fence behind the store", check, "case _ < -_:", never).seeded(23),
		mutate("tokens live by a wrong clock", "Ring.SigningKey", "_.safe", with("at.wall")).seeded(46),
		mutate("keys leave by a wrong clock", "Ring.Published: newPublication(_, _)", "_.safe", with("at.wall")).seeded(80),
		mutate("keys have left by a wrong clock", "Ring.readView: newPublication(_, _)", "_.safe", with("r.clock.read().wall")).seeded(22),
		mutate("keys leave by the clock before the read", "Ring.readView: newPublication(_, _)", "_.safe", with("next.confirmedAt.wall")).seeded(22),
		mutate("keys verify by a wrong clock", "Ring.Keys", "_.safe", with("at.wall")).seeded(22),
	}
}

// The way to the store and back.
func storeMutations() []mutation {
	return []mutation{
		mutate("no deadline", "Ring.swap", "_.Add(_)", with("decidedAt.Add(1000 * e)")),
		mutate("a deadline of all of e", "Ring.swap", "_.Add(_)", with("decidedAt.Add(e)")),
		mutate("a deadline by the new policy", "Ring.swap", "min(_, _)", second).seeded(156),
		mutate("a lost swap counts as done", "Ring.change", "err == nil", with("err == nil || errors.Is(err, ErrConflict)")).seeded(7),
		mutate("a write that came too late counts as done", "Ring.change", "err == nil", with("err == nil || errors.Is(err, ErrTooLate)")),
		mutate("a rotation does not name the kid", "Ring.Rotate", "_ != from", with(`from == ""`)).seeded(56),
		mutate("a refusal after an unclear commit", "orUnclear", "_ == nil", always).seeded(370),
		mutate("a refusal after the commit", "Ring.change", "fmt.Errorf(_, _, err)", with("err")).seeded(94),
		mutate("a missing private key is not read again", "Ring.openPrivateKeys", "_.changedSince(_, _)", never).seeded(140),
		mutate("the store may go back", "Keyset.checkNotRestored", "_.older(_)", never).seeded(95),
		mutate("a read creates", "Ring.Refresh", "return err", with(`if errors.Is(err, ErrNoKeyset) {
			p, _ := NewPolicy(Settings{Algorithm: jwk.EdDSA, Issuer: "https://issuer.example"})
			if err = r.create(ctx, p, jwk.PrivateKey{}); err == nil {
				_, err = r.refresh(ctx)
			}
		}
		return err`)).seeded(53),
	}
}

package simulation

import "slices"

// mutations is the table: every guard, and every term of every formula.
func mutations() []mutation {
	return slices.Concat(gateMutations(), farewellMutations(), policyMutations(), revocationMutations(),
		scheduleMutations(), fenceMutations(), clockMutations(), storeMutations(),
		documentMutations(), sumMutations(), witnessMutations(), mergeMutations())
}

// ready_at = max(now + D + 2M + e, docs_until), and the gate that reads it.
func gateMutations() []mutation {
	const (
		formula = "return latest(d.now.Add(p.MaxStaleness+2*p.JWKSMaxAge+p.ClockSkew), d.ks.DocsUntil)"
		due     = "latest(active.ActiveAt.Add(ks.Policy.RotationInterval), k.ReadyAt)"
	)
	return []mutation{
		{name: "ready_at without D", old: formula, new: "return latest(d.now.Add(2*p.JWKSMaxAge+p.ClockSkew), d.ks.DocsUntil)"},
		{name: "ready_at without 2M", old: formula, new: "return latest(d.now.Add(p.MaxStaleness+p.ClockSkew), d.ks.DocsUntil)"},
		{name: "ready_at with M for 2M", old: formula, new: "return latest(d.now.Add(p.MaxStaleness+p.JWKSMaxAge+p.ClockSkew), d.ks.DocsUntil)"},
		{name: "ready_at without e", old: formula, new: "return latest(d.now.Add(p.MaxStaleness+2*p.JWKSMaxAge), d.ks.DocsUntil)"},
		{name: "ready_at without docs_until", old: formula, new: "return d.now.Add(p.MaxStaleness+2*p.JWKSMaxAge+p.ClockSkew)"},
		{name: "no gate for an order", old: "r := pending.gate(d.now); r != nil && !o.Force", new: "r := pending.gate(d.now); r == nil && !o.Force && false"},
		{name: "no gate for the schedule", old: due, new: "active.ActiveAt.Add(ks.Policy.RotationInterval)"},
		{name: "no interval", old: due, new: "latest(active.ActiveAt, k.ReadyAt)"},
		{name: "a forced step is not marked", old: "k.Forced = d.now.Before(k.ReadyAt)", new: "k.Forced = false"},
	}
}

// destroy_at = max(now + D + e, acts_until) and
// expires_at = max(now + D + T + 2e, tokens_until) + L.
func farewellMutations() []mutation {
	const (
		destroy = "latest(d.now.Add(p.MaxStaleness+p.ClockSkew), d.ks.ActsUntil)"
		expire  = "latest(d.now.Add(p.MaxStaleness+p.TokenTTL+2*p.ClockSkew), d.ks.TokensUntil).Add(p.Leeway)"
	)
	return []mutation{
		{name: "destroy_at without D", old: destroy, new: "latest(d.now.Add(p.ClockSkew), d.ks.ActsUntil)"},
		{name: "destroy_at without e", old: destroy, new: "latest(d.now.Add(p.MaxStaleness), d.ks.ActsUntil)"},
		{name: "destroy_at without acts_until", seed: 59, old: destroy, new: "d.now.Add(p.MaxStaleness+p.ClockSkew)"},
		{name: "expires_at without D", old: expire, new: "latest(d.now.Add(p.TokenTTL+2*p.ClockSkew), d.ks.TokensUntil).Add(p.Leeway)"},
		{name: "expires_at without T", old: expire, new: "latest(d.now.Add(p.MaxStaleness+2*p.ClockSkew), d.ks.TokensUntil).Add(p.Leeway)"},
		{name: "expires_at without e", old: expire, new: "latest(d.now.Add(p.MaxStaleness+p.TokenTTL), d.ks.TokensUntil).Add(p.Leeway)"},
		{name: "expires_at with e for 2e", old: expire, new: "latest(d.now.Add(p.MaxStaleness+p.TokenTTL+p.ClockSkew), d.ks.TokensUntil).Add(p.Leeway)"},
		{name: "expires_at without tokens_until", old: expire, new: "d.now.Add(p.MaxStaleness+p.TokenTTL+2*p.ClockSkew).Add(p.Leeway)"},
		{name: "expires_at without L for tokens_until", old: expire, new: "latest(d.now.Add(p.MaxStaleness+p.TokenTTL+2*p.ClockSkew+p.Leeway), d.ks.TokensUntil)"},
		{name: "halves go when keys retire", old: "add(StepDestroy, k.KeyID(), k.DestroyAt)", new: "add(StepDestroy, k.KeyID(), k.RetiredAt)"},
		{name: "keys leave when their halves go", old: "add(StepExpire, k.KeyID(), k.ExpiresAt)", new: "add(StepExpire, k.KeyID(), k.DestroyAt)"},
		{name: "expires_at without L", old: expire, new: "latest(d.now.Add(p.MaxStaleness+p.TokenTTL+2*p.ClockSkew), d.ks.TokensUntil)"},
	}
}

// acts_until, docs_until, tokens_until, each raised by a change of policy, and
// from when a longer leeway may be allowed. Whether the old or the new e counts
// is no entry: clocks keep to the lower one before it is set, and to it only
// until nothing is left that was stamped under it.
func policyMutations() []mutation {
	const (
		acts   = "latest(ks.ActsUntil, now.Add(was.MaxStaleness+was.ClockSkew))"
		docs   = "latest(ks.DocsUntil, d.ks.ActsUntil.Add(2*was.JWKSMaxAge))"
		tokens = "latest(ks.TokensUntil, d.ks.ActsUntil.Add(was.TokenTTL+was.ClockSkew))"
	)
	return []mutation{
		{name: "acts_until is not raised", old: acts, new: "ks.ActsUntil"},
		{name: "acts_until forgets what it was", old: acts, new: "now.Add(was.MaxStaleness+was.ClockSkew)"},
		{name: "acts_until without D", old: acts, new: "latest(ks.ActsUntil, now.Add(was.ClockSkew))"},
		{name: "acts_until without e", seed: 103, old: acts, new: "latest(ks.ActsUntil, now.Add(was.MaxStaleness))"},
		{name: "acts_until by the new D", old: acts, new: "latest(ks.ActsUntil, now.Add(p.MaxStaleness+was.ClockSkew))"},
		{name: "docs_until by the new M", old: docs, new: "latest(ks.DocsUntil, d.ks.ActsUntil.Add(2*p.JWKSMaxAge))"},
		{name: "tokens_until by the new T", old: tokens, new: "latest(ks.TokensUntil, d.ks.ActsUntil.Add(p.TokenTTL+was.ClockSkew))"},
		{name: "any change of the policy replaces the pending key", old: "ok && otherKeys && !p.makes(k.JWK) {", new: "ok || otherKeys {"},
		{name: "docs_until is not raised", old: docs, new: "ks.DocsUntil"},
		{name: "docs_until forgets what it was", old: docs, new: "d.ks.ActsUntil.Add(2*was.JWKSMaxAge)"},
		{name: "docs_until without acts_until", old: docs, new: "latest(ks.DocsUntil, now.Add(2*was.JWKSMaxAge))"},
		{name: "docs_until without 2M", old: docs, new: "latest(ks.DocsUntil, d.ks.ActsUntil)"},
		{name: "docs_until with M for 2M", old: docs, new: "latest(ks.DocsUntil, d.ks.ActsUntil.Add(was.JWKSMaxAge))"},
		{name: "tokens_until is not raised", old: tokens, new: "ks.TokensUntil"},
		{name: "tokens_until forgets what it was", old: tokens, new: "d.ks.ActsUntil.Add(was.TokenTTL+was.ClockSkew)"},
		{name: "tokens_until without acts_until", old: tokens, new: "latest(ks.TokensUntil, now.Add(was.TokenTTL+was.ClockSkew))"},
		{name: "tokens_until without T", old: tokens, new: "latest(ks.TokensUntil, d.ks.ActsUntil.Add(was.ClockSkew))"},
		{name: "tokens_until without e", seed: 3051, old: tokens, new: "latest(ks.TokensUntil, d.ks.ActsUntil.Add(was.TokenTTL))"},
		{name: "a longer leeway at once", seed: 41, old: "from = latest(from, k.ExpiresAt.Add(ks.Policy.Leeway))", new: "_ = k"},
		{name: "a longer leeway when the keys have left", seed: 41, old: "k.ExpiresAt.Add(ks.Policy.Leeway)", new: "k.ExpiresAt"},
		{name: "a longer leeway revives keys that have left", seed: 41, old: "slices.Concat(ks.Keys, ks.History) {\n\t\tif !k.ActiveAt", new: "ks.Keys {\n\t\tif !k.ActiveAt"},
	}
}

// What revocation does and promises.
func revocationMutations() []mutation {
	const (
		served = "served := latest(now.Add(p.MaxStaleness+p.ClockSkew), ks.ActsUntil)"
		pull   = "d.effect.Delete = append(d.effect.Delete, kid)\n\td.bury(kid)\n\td.record(StepRevoke, kid)"
	)
	return []mutation{
		{name: "bound without D", old: served, new: "served := latest(now.Add(p.ClockSkew), ks.ActsUntil)"},
		{name: "bound without e", old: served, new: "served := latest(now.Add(p.MaxStaleness), ks.ActsUntil)"},
		{name: "bound without acts_until", seed: 457, old: served, new: "served := now.Add(p.MaxStaleness+p.ClockSkew)"},
		{name: "cache bound without M", old: "latest(served.Add(p.JWKSMaxAge), ks.DocsUntil)", new: "latest(served, ks.DocsUntil)"},
		{name: "cache bound without docs_until", seed: 1916, old: "latest(served.Add(p.JWKSMaxAge), ks.DocsUntil)", new: "served.Add(p.JWKSMaxAge)"},
		{name: "no-Age bound with M for 2M", old: "latest(served.Add(2*p.JWKSMaxAge), ks.DocsUntil)", new: "latest(served.Add(p.JWKSMaxAge), ks.DocsUntil)"},
		{name: "no-Age bound without docs_until", seed: 317, old: "latest(served.Add(2*p.JWKSMaxAge), ks.DocsUntil)", new: "served.Add(2*p.JWKSMaxAge)"},
		{name: "revocation keeps the half", old: pull, new: "d.bury(kid)\n\td.record(StepRevoke, kid)"},
		{
			name: "revocation keeps the key", old: pull, new: "d.effect.Delete = append(d.effect.Delete, kid)\n\td.record(StepRevoke, kid)",
		},
		{name: "revocation does not mark what has left", old: "k.RevokedAt, k.Reason = now, o.Reason\n\t\t\td.record(StepRevoke, kid)", new: "d.record(StepRevoke, kid)"},
		{name: "revocation needs no successor", old: "if k.State(now) == Active {\n\t\tif r := d.takeOver", new: "if false {\n\t\tif r := d.takeOver"},
		{name: "what is revoked is revoked again", seed: 31, old: "if k := &d.ks.History[i]; k.RevokedAt.IsZero() {", new: "if k := &d.ks.History[i]; true {"},
		{name: "an import brings a kid back", seed: 283, old: "if ks.holds(kid) {", new: "if false {"},
		{name: "an import stands beside the pending key", seed: 34, old: "d.discard(p.KeyID(), \"replaced by an imported key\")", new: "_ = p"},
		{
			name: "an import beyond the cap", old: "} else if r := ks.room(now); r != nil {", new: "} else if r := ks.room(now); false && r != nil {",
			test: "TestTheSetIsCapped", why: "a set that is full and has no pending key is rare in a world",
		},
		{
			name: "an imported key is forgotten", old: "case k.Imported:", new: "case false:",
			test: "TestImportedKeysAreNeverForgotten", why: "worlds do not live that long",
		},
		{name: "a revoked key that was destroyed is destroyed again", seed: 34, old: "if k.DestroyedAt.IsZero() {\n\t\tk.DestroyedAt = now", new: "if true {\n\t\tk.DestroyedAt = now"},
	}
}

// How the schedule takes its steps.
func scheduleMutations() []mutation {
	return []mutation{
		{name: "a key that cannot be opened is activated by the schedule", seed: 70, old: "if r := m.openable(k); r != nil {", new: "if r := m.openable(k); false && r != nil {"},
		{name: "a key that cannot be opened is activated by an order", old: "case ok && unreadable == nil:", new: "case ok:"},
		{name: "a key that cannot be opened is replaced", old: "\tcase !o.Force && ok:\n\t\treturn unreadable\n\tcase !o.Force || m.Fresh", new: "\tcase m.Fresh"},
		{name: "no standby in the schedule's swap", old: "\t\t\t\td.publish(fresh)\n\t\t\t\tfresh = jwk.PublicKey{}", new: "\t\t\t\tif e.Step == StepPublish {\n\t\t\t\t\td.publish(fresh)\n\t\t\t\t}\n\t\t\t\tfresh = jwk.PublicKey{}"},
		{name: "no standby in an order's swap", old: "Reason = o.Reason\n\td.publishFresh(m)", new: "Reason = o.Reason"},
		{name: "no cap", seed: 107, old: "if len(ks.Public(now.Add(-e))) < maxPublished {", new: "if true {"},
		{name: "the cap by one clock", seed: 2395, old: "if len(ks.Public(now.Add(-e))) < maxPublished {", new: "if len(ks.Public(now)) < maxPublished {"},
		{name: "timed steps come too early", old: "if e.At.After(now) {\n\t\t\tbreak", new: "if false {\n\t\t\tbreak"},
		{name: "a second pending key", old: "if _, ok := ks.Pending(); !ok {\n\t\tadd(StepPublish", new: "if true {\n\t\tadd(StepPublish"},
		{name: "a fresh key is used twice", old: "by(m.Fresh.KeyID())\n\tm.Fresh = jwk.PublicKey{}", new: "by(m.Fresh.KeyID())\n\t_ = jwk.PublicKey{}"},
		{name: "no standby from the first document on", old: "\td.add(Key{JWK: pending, CreatedAt: now, ReadyAt: now})\n", new: ""},
		{name: "the specimen is not born expired", old: "RetiredAt: d.now, ExpiresAt: d.now}", new: "RetiredAt: d.now}"},
		{name: "the JWKS does not follow the clock", old: "until.IsZero() || at.safe.Before(until) {", new: "until.IsZero() || !until.IsZero() {"},
		{name: "expired keys verify", old: "if k.KeyID() == kid && k.published(now) {", new: "if k.KeyID() == kid {"},
		{name: "expired keys stay", old: "case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):", new: "case false:"},
		{name: "what has left is published", old: "\tlive := make([]*Key, 0, len(ks.Keys))\n", new: "\tks.Keys = slices.Concat(ks.Keys, ks.specimens(), ks.History)\n\tlive := make([]*Key, 0, len(ks.Keys))\n"},
		{name: "destroying keeps the half", old: "d.effect.Delete = append(d.effect.Delete, kid)\n\td.record(StepDestroy, kid)", new: "d.record(StepDestroy, kid)"},
		{name: "discarding keeps the half", old: "d.effect.Delete = append(d.effect.Delete, kid)\n\td.bury(kid)\n\td.record(StepExpire, kid)", new: "d.bury(kid)\n\td.record(StepExpire, kid)"},
		{name: "expired keys are not buried", old: "\td.bury(kid)\n\td.record(StepExpire, kid)\n}\n\n// bury", new: "\td.record(StepExpire, kid)\n}\n\n// bury", test: "TestARetiredKeyIsDestroyedAndThenExpires", why: "it only costs room"},
		{name: "the newest stamp goes back", old: "d.ks.ChangedAt = latest(d.ks.ChangedAt, d.now)", new: "d.ks.ChangedAt = d.now"},
		{name: "the history has no bound", old: "for len(d.ks.History) > maxHistory {", new: "for len(d.ks.History) > 1000 {", test: "TestHistoryIsBoundedAndForgetsWhatIsMissedLeast", why: "worlds do not live that long"},
	}
}

// What a process may do on the strength of what it last read.
func fenceMutations() []mutation {
	const fence = "\tif err := v.fresh(at); err != nil {\n\t\treturn "
	return []mutation{
		{name: "no fence for signing", old: fence + "jwk.PrivateKey{}, time.Time{}, time.Time{}, err\n\t}\n", new: ""},
		{name: "no fence for publishing", old: "func (r *Ring) Published() (*Publication, error) {\n\tv, at := r.view.Load(), r.watch.read()\n" + fence + "nil, err\n\t}\n", new: "func (r *Ring) Published() (*Publication, error) {\n\tv, at := r.view.Load(), r.watch.read()\n"},
		{name: "no fence for verifying", old: fence + "nil, err\n\t}\n\treturn v.ks.Find", new: "\treturn v.ks.Find"},
		{name: "no fence for the specimen", old: "case v.fresh(at) != nil:", new: "case false:"},
		{name: "a specimen against the policy", old: "case !v.ks.Policy.ExpiredTokens:", new: "case false:"},
		{name: "a specimen for tokens that live", old: "end := at.wall.Add(-time.Hour)", new: "end := at.wall"},
		{name: "a looser fence", old: "age > v.ks.Policy.MaxStaleness {", new: "age > v.ks.Policy.MaxStaleness+v.ks.Policy.ClockSkew/2 {"},
		{name: "age by the wall clock alone", old: "return max(r.wall.Sub(earlier.wall), r.up-earlier.up)", new: "return r.wall.Sub(earlier.wall)"},
		{
			name: "age by the uptime alone", old: "return max(r.wall.Sub(earlier.wall), r.up-earlier.up)", new: "return r.up-earlier.up",
		},
		{name: "confirmed by the answer", old: "next := view{at: at, ", new: "next := view{at: r.watch.read(), "},
		{name: "an unreadable key signs", old: "\tif err := v.active.err; err != nil {\n", new: "\tif err := v.active.err; false {\n"},
	}
}

// Clocks that cannot be trusted.
func clockMutations() []mutation {
	const settle = "p.MaxStaleness+2*p.JWKSMaxAge+p.TokenTTL+p.Leeway+2*p.ClockSkew"
	return []mutation{
		{name: "a jump is settled without D", seed: 680, old: settle, new: "2*p.JWKSMaxAge+p.TokenTTL+p.Leeway+2*p.ClockSkew"},
		{name: "a jump is settled without 2M", seed: 103, old: settle, new: "p.MaxStaleness+p.TokenTTL+p.Leeway+2*p.ClockSkew"},
		{name: "a jump is settled without T", seed: 103, old: settle, new: "p.MaxStaleness+2*p.JWKSMaxAge+p.Leeway+2*p.ClockSkew"},
		{name: "a jump is settled without L", seed: 103, old: settle, new: "p.MaxStaleness+2*p.JWKSMaxAge+p.TokenTTL+2*p.ClockSkew"},
		{name: "a jump is settled without 2e", seed: 103, old: settle, new: "p.MaxStaleness+2*p.JWKSMaxAge+p.TokenTTL+p.Leeway"},
		{name: "a jump is settled without docs_until", seed: 12908, old: "ks.DocsUntil.Sub(ks.ChangedAt), ks.TokensUntil", new: "ks.TokensUntil"},
		{name: "a jump is settled without tokens_until", seed: 430, old: "ks.DocsUntil.Sub(ks.ChangedAt), ks.TokensUntil.Add(p.Leeway).Sub(ks.ChangedAt))", new: "ks.DocsUntil.Sub(ks.ChangedAt))"},
		{name: "a jump is settled without L after tokens_until", seed: 5892, old: "ks.TokensUntil.Add(p.Leeway).Sub(ks.ChangedAt))", new: "ks.TokensUntil.Sub(ks.ChangedAt))"},
		{name: "a jump is noticed late", seed: 133, old: "case stray.Abs() <= w.skew:", new: "case stray.Abs() <= 3*w.skew:"},
		{name: "a second jump is settled with the first", seed: 8187, old: "case !w.jumped || moved > w.skew:", new: "case !w.jumped || moved > 1000000*w.skew:"},
		{name: "safe by the clock before the jump", seed: 310, old: "now.safe = earliest(now.wall, now.wall.Add(-stray))", new: "now.safe = now.wall.Add(-stray)"},
		{name: "safe by the clock after the jump", seed: 22, old: "now.safe = earliest(now.wall, now.wall.Add(-stray))", new: "now.safe = now.wall"},
		{name: "a read that is too slow to tell vouches", seed: 10306, old: "case least >= -e && most <= e:", new: "case least <= e && most >= -e:"},
		{
			name: "small jumps do not add up", old: "mostCreep := elapsed / 1000", new: "mostCreep := elapsed",
			test: "TestSmallJumpsAddUp", why: "the clocks of a world jump far or keep to their share",
		},
		{name: "no clock fence", old: "if refusal := r.watch.trouble(now, v.ks, v.store); refusal != nil {\n\t\t\treturn after", new: "if refusal := r.watch.trouble(now, v.ks, v.store); false && refusal != nil {\n\t\t\treturn after"},
		{name: "no fence after a jump", seed: 46, old: "\tif now.jumped {\n\t\treturn refuse", new: "\tif false {\n\t\treturn refuse"},
		{name: "no fence behind the newest stamp", seed: 663, old: "behind > e {", new: "false && behind > e {"},
		{name: "no fence ahead of the store", seed: 111, old: "case most > e:", new: "case false:"},
		{name: "no fence behind the store", seed: 23, old: "case least < -e:", new: "case false:"},
		{name: "a slow read hides a wrong clock", seed: 38, old: "return least, least + s.got.up - s.sent.up", new: "return least, least"},
		{name: "a wrong clock is believed until a step", seed: 359, old: "w.doubt(store.got, most)", new: "_ = most"},
		{name: "a jump is soon forgiven", seed: 103, old: "case now.up-w.since > w.settle:", new: "case now.up-w.since > w.settle/2:"},
		{name: "a jump is judged by the newest policy", seed: 3181, old: "if w.jumped {\n\t\tsettle = max", new: "if false {\n\t\tsettle = max"},
		{name: "tokens live by a wrong clock", seed: 46, old: "at.safe.Add(v.ks.Policy.TokenTTL)", new: "at.wall.Add(v.ks.Policy.TokenTTL)"},
		{name: "keys leave by a wrong clock", seed: 80, old: "again.document = publication(v.ks, at.safe)", new: "again.document = publication(v.ks, at.wall)"},
		{name: "keys have left by a wrong clock", seed: 22, old: "publication(next.ks, r.watch.read().safe)", new: "publication(next.ks, r.watch.read().wall)"},
		{name: "keys leave by the clock before the read", seed: 22, old: "publication(next.ks, r.watch.read().safe)", new: "publication(next.ks, at.wall)"},
		{name: "verifying goes by a wrong clock", seed: 22, old: "v.ks.Find(kid, at.safe)", new: "v.ks.Find(kid, at.wall)"},
	}
}

// The way to the store and back.
func storeMutations() []mutation {
	const deadline = "Deadline: now.wall.Add(e / 2)"
	return []mutation{
		{name: "no deadline", old: deadline, new: "Deadline: now.wall.Add(1000 * e)"},
		{name: "a deadline of all of e", old: deadline, new: "Deadline: now.wall.Add(e)"},
		{name: "a deadline by the new policy", seed: 156, old: "e := min(from.Policy.ClockSkew, next.Policy.ClockSkew)", new: "e := next.Policy.ClockSkew"},
		{name: "a lost swap counts as done", seed: 21, old: "\t\tif err == nil {\n\t\t\tr.committed", new: "\t\tif err == nil || errors.Is(err, ErrConflict) {\n\t\t\tr.committed"},
		{name: "a write that came too late counts as done", old: "\t\tif err == nil {\n\t\t\tr.committed", new: "\t\tif err == nil || errors.Is(err, ErrTooLate) {\n\t\t\tr.committed"},
		{name: "a rotation does not name the kid", seed: 56, old: "if ks.Active().KeyID() != from {", new: "if from == \"\" {"},
		{name: "a refusal after an unclear commit", seed: 370, old: "\tif unclear == nil {\n\t\treturn err", new: "\tif true {\n\t\treturn err"},
		{name: "a refusal after the commit", seed: 94, old: "return fmt.Errorf(\"%w: the change is made, but could not be read back: %v\", ErrUnavailable, err)", new: "return err"},
		{name: "a missed half is not read again", seed: 140, old: "again != nil || rec.Version != v.ks.Version {", new: "false && (again != nil || rec.Version != v.ks.Version) {"},
		{name: "the store may go back", seed: 95, old: "if ks.older(seen) {", new: "if false {"},
		{name: "a read creates", seed: 53, old: "\t_, err := r.refresh(ctx)\n\treturn err", new: "\t_, err := r.refresh(ctx)\n\tif errors.Is(err, ErrNoKeyset) {\n\t\tp := timings(defaultRotationInterval)\n\t\tp.Algorithm, p.Issuer = jwk.EdDSA, \"https://issuer.example\"\n\t\tif err = r.found(ctx, p); err == nil {\n\t\t\t_, err = r.refresh(ctx)\n\t\t}\n\t}\n\treturn err"},
	}
}

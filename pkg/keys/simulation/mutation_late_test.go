package simulation

// How a version that landed late is noticed, and how its stamps are moved.
func lateMutations() []mutation {
	const (
		own      = "view.lastConfirmed: _ := earliest(_, _)"
		both     = "view.lastConfirmed: return earliest(_, _)"
		landings = "Ring.lateLandings"
		moveAll  = "draft.moveStamps"

		ahead     = "TestAClockThatWasAheadProvesNothing"
		notLate   = "TestAWriteIsLateAfterItsDeadline"
		moves     = "TestTheStampsOfALateVersionMove"
		wrong     = "a process with such a clock cannot prove anything that matters"
		rare      = "a late change to shorter durations rarely meets a stamp that only the longer ones explain"
		moreMoves = "a stamp that is later than it needs to be is safe"
	)
	rows := []mutation{
		mutate("it is not noticed", landings, "_ && _.landedLate(_)", never),
		mutate("it is not corrected", "Ring.change", "len(_.late) > 0", never),
		mutate("another decision is first", "Ring.change", "len(_.late) > 0", with("len(v.late) > 0 && attempts > 0")),
		mutate("nothing is corrected until a step is due", "Ring.refreshAndStep: if _ := _.postponeStamps(_); _ != nil { _ }", "_.postponeStamps(_)", with("error(nil)")).
			caughtBy("TestRunCorrectsALateLanding", "a world has no background loop"),
		mutate("it is judged by the time of the answer", own, "earliest(_, _)", with("v.storeTime.got.wall\n_ = now")).
			caughtBy("TestASlowReadProvesNothing", moreMoves),
		mutate("it is judged by the time of the read that shows it", own, "earliest(_, _)", with("now.safe")),
		mutate("it is judged by the store's clock alone", both, "earliest(_, _)", first).and(own, "earliest(_, _)", with("now.safe\n_ = own")),
		mutate("it is judged by the machine's clock alone", both, "earliest(_, _)", second).
			caughtBy("TestALateLandingIsJudgedByTheStoresClock", moreMoves),
		mutate("it is judged by the clock before it was set right", own, "earliest(_, _)", with("v.confirmedAt.safe\n_ = now")).caughtBy(ahead, wrong),
		mutate("it is judged by the clock after it was set", own, "earliest(_, _)", second).caughtBy(ahead, wrong),
		mutate("it is judged by a clock that jumped", own, "_.safe.Add(_)", with("now.wall.Add(v.confirmedAt.up-now.up)")).
			and(own, "_.confirmedAt.safe", with("v.confirmedAt.wall")).caughtBy(ahead, wrong),
		mutate("a write at its deadline is late", "Write.landedLate", "_.After(_)", with("!confirmed.Before(w.Deadline)")).caughtBy(notLate, moreMoves),
		mutate("a write without a deadline is late", "Write.landedLate", "!_.Deadline.IsZero()", always).caughtBy(notLate, moreMoves),
		mutate("skipped versions are not noticed", landings, "_.write(_)", with("next.ks.write(next.ks.Version)")),
		mutate("the list has one write", "Keyset.withWrite", "min(_, _)", with("min(1, maxWrites)")),
		mutate("the list has no limit", "Keyset.withWrite", "min(_, _)", first).caughtBy("TestTheDocumentKeepsTheNewestWrites", "it only makes documents longer"),
		mutate("the list may be in any order", "Keyset.validate", "_.validateWrites()", with("error(nil)")).
			caughtBy("TestWritesAreInOrder", "a world's store has only what the steps make"),
		mutate("of another keyset", landings, "_ == nil || _.ID != _.ID", with("old == nil")).
			caughtBy("TestAnotherKeysetDidNotLandLate", "a world has one keyset"),
		mutate("no stamp moves", "Keyset.postpone", "_.moveStamps(_, _, _)", removed),
		mutate("stamps move too little", "Keyset.postpone: _.moveStamps(_, _, _)", "_.Sub(_)", with("l.confirmed.Sub(w.allowsFor())/2")),
		mutate("acts_until does not move", moveAll, "move(&_.ActsUntil, _, _)", removed).caughtBy(moves, rare),
		mutate("docs_until does not move", moveAll, "move(&_.DocsUntil, _, _)", removed).caughtBy(moves, rare),
		mutate("tokens_until does not move", moveAll, "move(&_.TokensUntil, _, _)", removed).caughtBy(moves, rare),
		mutate("ready_at does not move", moveAll, "move(&_.ReadyAt, _, _)", removed),
		mutate("destroy_at does not move", moveAll, "move(&_.DestroyAt, _, _)", removed).seeded(649),
		mutate("expires_at does not move", moveAll, "move(&_.ExpiresAt, _, _)", removed),
		mutate("stamps of earlier versions move", moveAll, "!_.IsZero() && !_.Equal(_)", with("!now.IsZero()")).caughtBy(moves, moreMoves),
		mutate("ready_at of an active key moves", moveAll, "_.ActiveAt.IsZero()", always).caughtBy("TestStampsOfThePastStay", moreMoves),
		mutate("destroy_at of a destroyed key moves", moveAll, "_.DestroyedAt.IsZero()", always).caughtBy("TestStampsOfThePastStay", moreMoves),
		mutate("another process moves the stamps again", "Write.allowsFor", "latest(_, _)", first),
		mutate("a correction is not recorded", "Keyset.postpone", "_.LandedAfter = _", removed),
		mutate("a correction leaves the newest stamp", "Keyset.postpone", "_.now = latest(_, _)", removed).caughtBy(moves, "no clock of a world is years ahead"),
		mutate("a correction is repeated", landings, "slices.DeleteFunc(_, _)", with("late")).
			caughtBy("TestALateLandingIsDetectedAndCorrected", moreMoves),
		mutate("a correction has a deadline", "Ring.postpone: _.swap(_, _, _, _, _, _)", "time.Time{}", with("r.clock.read().wall")),
		mutate("a revocation by a wrong clock has a deadline", "Ring.decide", "decidedAt = time.Time{}", removed).
			caughtBy("TestARevocationByAWrongClockHasNoDeadline", "the store of a world with such a clock compares deadlines with that clock"),
		mutate("a merge has the writes of the newer document", "Keyset.merge", "_.Writes = _", removed).
			caughtBy("TestAMergeKeepsTheWritesOfTheRestoredStore", notRestored),
		mutate("accept-clock leaves writes of the future", "Keyset.AcceptClock", "_.Deadline, _.LandedAfter = _, _", with("_ = w")).
			caughtBy("TestAcceptClockMovesTheWritesBack", "no clock of a world is years ahead"),
	}
	for i := range rows {
		rows[i].name = "late landing: " + rows[i].name
	}
	return rows
}

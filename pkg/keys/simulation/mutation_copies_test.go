package simulation

// How a keyset is copied to another store, backed up, restored and checked.
func copyMutations() []mutation {
	const (
		parts    = "TestBackupsWhosePartsDoNotBelongTogether"
		readBack = "TestARestoreIsReadBack"
		byKeys   = "TestCheckFindsWhatIsWrongWithPrivateKeys"
		byStamps = "TestCheckFindsWhatIsWrongWithTheDocument"
		copied   = "TestACopyIsTheSameKeysetWithAHigherVersion"
		notLost  = "TestNoRevokedKeyComesBackFromTheOldStore"
		why      = "a world has one store, and no command for it"
	)
	rows := []mutation{
		mutate("a keyset that was moved is used", "Keyset.checkMoved", `_.MovedTo == ""`, always).caughtBy("TestProcessesOfTheOldStoreStop", why),
		mutate("a keyset that was moved may be accepted", "Ring.acceptOnce", "_.loadUsable(_)", with("r.loadDocument(ctx)")).
			caughtBy("TestAWitnessAcceptsTheCopyAndRefusesTheOldStore", why),
		mutate("a copy in the old epoch", "Keyset.arrived", "_.Epoch++", removed).caughtBy(copied, why),
		mutate("a copy with the mark", "Keyset.arrived", `_.MovedTo = ""`, removed).caughtBy(copied, why),
		mutate("an accepted restore keeps the mark", "Keyset.merge", `_.MovedTo = ""`, removed).caughtBy("TestARestoredStoreIsAcceptedAfterAMark", why),
		mutate("a clock_skew that is too short is copied", "Keyset.checkEngine", "_ != nil", never).
			caughtBy("TestAKeysetWhoseClockSkewIsTooShortForTheTarget", why),
		mutate("another copy of the keyset counts as this one", "Ring.findCopy", "_.ID == _.ID", always).caughtBy("TestCopiesThatAreRefused", why),
		mutate("another target counts as this one", "Ring.loadToCopy", "_.MovedTo != _", never).caughtBy("TestCopiesThatAreRefused", why),
		mutate("the mark is removed beside another copy", "Ring.notCopied", "_ != nil", never).caughtBy("TestTwoCopiesAtTheSameTime", why),
		mutate("the mark is removed before a late write can land", "Ring.writeBackup", "sleep(_, _)", removed).caughtBy("TestAFailedCopyChangesNothing", why),
		mutate("a copy is interrupted in the middle", "Ring.move", "context.WithoutCancel(_)", with("ctx")).caughtBy("TestACopyIsNotInterruptedInTheMiddle", why),
		mutate("a copy that was undone is done", "Ring.move", "_.MovedTo != _", never).caughtBy("TestACopyThatWasUndoneIsNotReportedAsDone", why),
		mutate("an undo does not wait for a late write", "UndoCopy", "_.ClockSkew", with("0")).caughtBy("TestUndoCopy", why),
		mutate("an undo of a copy that is complete", "UndoCopy", "_.ID != _.ID", always).caughtBy("TestUndoCopy", why),
		mutate("a copy after the target was lost", "Copy", "_ == nil && _ != nil", never).caughtBy(notLost, why),
		mutate("an undo after the target was lost", "UndoCopy: if lost != nil { _ }", "_ != nil", never).caughtBy(notLost, why),
		mutate("a copy after its mark was too old", "Ring.move", "dest.writeBackup(_, _, deadline)", with("dest.writeBackup(ctx, Backup{ks, document, b.privateKeys}, dest.deadline(marked))")).
			caughtBy("TestTheWriteOfACopyHasTheDeadlineOfItsMark", why),
		mutate("private keys of two versions", "Ring.readPrivateKeys", "_.Version != _.Version || _", never).caughtBy("TestABackupIsConsistent", why),
		mutate("a private key may be missing in the store", "Ring.readPrivateKeys", "_.privateKeys[_] == nil", never).caughtBy("TestBackupsThatAreNotMade", why),
		mutate("a restore over a keyset", "Ring.checkEmpty", "_ == nil", never).caughtBy("TestRestoresThatAreRefused", why),
		mutate("a backup may be damaged", "parseBackup", "!bytes.Equal(_, _)", never).caughtBy("TestADamagedBackupIsRefused", why),
		mutate("a private key may be missing in a backup", "newBackup", "_[_.KeyID()] == nil", never).caughtBy(parts, why),
		mutate("a private key may be of no key", "newBackup", "!slices.Contains(_, _)", never).caughtBy(parts, why),
		mutate("a private key may be empty", "newBackup", "len(_) == 0", never).caughtBy(parts, why),
		mutate("a backup of a keyset that was moved", "newBackup: if _ := _.checkMoved(); _ != nil { _ }", "_ != nil", never).caughtBy(parts, why),
		mutate("the document is not read back", "Ring.checkWritten", "_ || !bytes.Equal(_.Document, _)", never).caughtBy(readBack, why),
		mutate("the private keys are not read back", "Ring.checkWritten", "_ == nil && !bytes.Equal(_, _)", never).caughtBy(readBack, why),
	}
	return append(rows,
		mutate("a change during a check", "Ring.checkOnce", "_.Version != _.Version || _", never).caughtBy("TestAChangeDuringACheckIsNoFinding", why),
		mutate("another version is no finding", "Ring.checkDocument", "_.Version != _.Version", never).caughtBy(byStamps, why),
		mutate("a private key that is missing is no finding", "Ring.checkPrivateKeys", "!slices.Contains(_, _.KeyID())", never).caughtBy(byKeys, why),
		mutate("a retired key must have its private key", "Ring.checkPrivateKeys", "_.signers()", with("ks.Keys")).caughtBy(byKeys, why),
		mutate("stamps of the future", "Keyset.findStamps", `stamp{"changed_at of the keyset", _.ChangedAt}`, with(`stamp{"", time.Time{}}`)).caughtBy(byStamps, why),
	)
}

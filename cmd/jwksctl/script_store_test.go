package main

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"

	"github.com/jwksctl/jwksctl/pkg/seal"
)

// sqlStatement changes a SQLite file as no command of ours does:
//
//	sql $DB 'DELETE FROM private_key'
func sqlStatement(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "sql FILE STATEMENT")
	db := openSQL(ts, args[0], "")
	_, err := db.ExecContext(context.Background(), args[1])
	ts.Check(err)
	ts.Check(db.Close())
}

// lockStore keeps every other process from writing to a SQLite file, until unlock:
//
//	lock to.db
func lockStore(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "lock FILE")
	db := openSQL(ts, args[0], "?_txlock=immediate")
	tx, err := db.BeginTx(context.Background(), nil)
	ts.Check(err)
	all, _ := ts.Value(locksKey{}).(locks)
	all[args[0]] = tx
	ts.Defer(func() { _ = errors.Join(tx.Rollback(), db.Close()) }) // nothing was written
}

// locks are the files that a story has locked.
type (
	locks    map[string]*sql.Tx
	locksKey struct{}
)

func unlockStore(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "unlock FILE")
	all, _ := ts.Value(locksKey{}).(locks)
	if all[args[0]] == nil {
		ts.Fatalf("%s is not locked", args[0])
	}
	ts.Check(all[args[0]].Rollback())
}

// keyLocked runs a command of jwksctl while another process changes a key file, and wants an
// exit code:
//
//	key-locked seal.key 3 seal rotate
func keyLocked(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 3, "key-locked FILE CODE args...")
	unlock, err := seal.Lock(ts.MkAbs(args[0]))
	ts.Check(err)
	defer unlock()
	output, err := jwksctl(ts, args[2:]).CombinedOutput()
	if code := strconv.Itoa(exitCodeOf(ts, err)); code != args[1] {
		ts.Fatalf("exit code %s, want %s: %s", code, args[1], strings.TrimSpace(string(output)))
	}
	ts.Logf("%s", output)
}

func openSQL(ts *testscript.TestScript, file, settings string) *sql.DB {
	db, err := sql.Open("sqlite", "file://"+(&url.URL{Path: ts.MkAbs(file)}).EscapedPath()+settings)
	ts.Check(err)
	db.SetMaxOpenConns(1)
	return db
}

// eventually repeats a command of jwksctl until it ends with an exit code:
//
//	eventually 5 keys list
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "eventually CODE args...")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(storyTimeout)
	for {
		output, err := jwksctl(ts, args[1:]).CombinedOutput()
		if strconv.Itoa(exitCodeOf(ts, err)) == args[0] {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("it did not happen; the last output: %s", strings.TrimSpace(string(output)))
		}
	}
}

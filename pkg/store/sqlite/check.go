package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	lib "modernc.org/sqlite/lib"

	"github.com/jwksctl/jwksctl/pkg/fileaccess"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// maxFindings limits what integrity_check reports of one file.
const maxFindings = 10

// Check implements keys.Checker: the integrity of the file, the settings that make commits
// durable and deleted keys disappear, and who may read the files.
func (s *Store) Check(ctx context.Context) ([]keys.CheckResult, error) {
	if s.empty {
		return nil, nil
	}
	integrity, err := s.checkIntegrity(ctx)
	if err != nil {
		return nil, err
	}
	results := append(integrity, s.checkModes())
	for _, setting := range []struct{ name, want, ok string }{
		{"journal_mode", "wal", "the file has a write-ahead log"},
		{"synchronous", "2", "a commit is on the disk before it is reported (FULL)"},
		{"secure_delete", "1", "deleted private keys are overwritten"},
	} {
		result := keys.CheckResult{Check: "sqlite_" + setting.name, Status: keys.CheckOK, Detail: setting.ok}
		if s.readOnly {
			result.Status, result.Detail = keys.CheckNotRun, "this process may not write the file, and the setting is of one that writes"
		} else {
			var value string
			if err := s.db.QueryRowContext(ctx, "PRAGMA "+setting.name).Scan(&value); err != nil {
				return nil, s.fail(ctx, "read a setting", err)
			}
			if value != setting.want {
				result.Status, result.Detail = keys.CheckFinding, fmt.Sprintf("it is %s, not %s", value, setting.want)
			}
		}
		results = append(results, result)
	}
	return results, nil
}

// checkIntegrity has SQLite check the whole file.
func (s *Store) checkIntegrity(ctx context.Context) ([]keys.CheckResult, error) {
	const name = "sqlite_integrity"
	var results []keys.CheckResult
	found := func(text string) {
		results = append(results, keys.CheckResult{Check: name, Status: keys.CheckFinding, Detail: text + hintBackup})
	}
	err := s.integrityErrors(ctx, found)
	switch {
	case code(err) == lib.SQLITE_CORRUPT, code(err) == lib.SQLITE_NOTADB:
		found(err.Error())
	case err != nil:
		return nil, s.fail(ctx, "check the file", err)
	case len(results) == 0:
		results = append(results, keys.CheckResult{Check: name, Status: keys.CheckOK, Detail: "integrity_check finds nothing"})
	}
	return results, nil
}

// integrityErrors calls found with each line of integrity_check.
func (s *Store) integrityErrors(ctx context.Context, found func(string)) error {
	rows, err := s.db.QueryContext(ctx, fmt.Sprintf("PRAGMA integrity_check(%d)", maxFindings))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			found(strings.TrimSpace(line))
		}
	}
	return rows.Err()
}

// checkModes checks that no other user may read or write the file, its log and its index.
func (s *Store) checkModes() keys.CheckResult {
	result := keys.CheckResult{Check: "sqlite_modes", Status: keys.CheckOK, Detail: "only this user can use the files"}
	for _, path := range []string{s.path, s.path + "-wal", s.path + "-shm"} {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = fileaccess.Check(path, info)
		}
		if err != nil {
			result.Status, result.Detail = keys.CheckFinding, fmt.Sprintf("%s: %v", path, err)
		}
	}
	return result
}

// Check implements keys.Checker.
func (r *reader) Check(ctx context.Context) ([]keys.CheckResult, error) {
	return r.current().Check(ctx)
}

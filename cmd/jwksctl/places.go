package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/adrg/xdg"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/fileaccess"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
)

// places say where a command finds its keyset and what belongs to it.
type places struct {
	store   string       // URL
	sealKey seal.Source  // zero for a key that is as short-lived as a store in memory
	witness keys.Witness // nil if the store is in memory, or if there is no folder for one
	err     error        // why the other fields are not set; only commands that use the keyset fail with it
	sealErr error        // why there is no sealing key; only commands that need it fail with it
}

// findPlaces works out the places from the settings. If the store is a file, the sealing
// key and the witness are beside it, so that all three are mounted and moved together. A
// store on the network has no place on this machine: they are in the state folder.
func findPlaces(c config.Config, stateFolder string) places {
	source, _ := seal.ParseSource(c.SealKey) // checkValues refuses one that is wrong
	p := places{store: c.Store, sealKey: source}
	if p.store == "" {
		if stateFolder == "" {
			return places{err: badUsage("no home directory to keep keys in: HOME and XDG_STATE_HOME are empty: name a store with --store")}
		}
		p.store = "sqlite:" + filepath.Join(stateFolder, "keyset.db")
	}
	path, isFile := store.Path(p.store)
	keyIn := func(folder string) seal.Source { return seal.File(filepath.Join(folder, "seal.key")) }
	switch {
	case isFile:
		p.sealKey = cmp.Or(p.sealKey, keyIn(filepath.Dir(path)))
		p.witness = witness.Folder(cmp.Or(p.keyFolder(), filepath.Dir(path)))
	case p.store == "memory:":
	case stateFolder != "":
		p.sealKey = cmp.Or(p.sealKey, keyIn(stateFolder))
		p.witness = witness.Folder(stateFolder)
	case p.sealKey.IsZero():
		p.sealErr = badUsage("no place for the sealing key: HOME and XDG_STATE_HOME are empty: name its file with --seal-key file:PATH")
	case p.keyFolder() != "":
		p.witness = witness.Folder(p.keyFolder())
	}
	return p
}

// keyFolder is the folder of the key file, "" if the sealing keys come from elsewhere.
func (p places) keyFolder() string {
	path, ok := p.sealKey.Path()
	if !ok {
		return ""
	}
	return filepath.Dir(path)
}

// recordKeyset records that the store has the keyset, so that it is noticed if the store
// is lost. If the witness cannot be written, the ring has logged that.
func (p places) recordKeyset(ctx context.Context, log *slog.Logger, id string) {
	folder, ok := p.witness.(witness.Folder)
	if !ok {
		if p.store != "memory:" {
			log.WarnContext(ctx, "there is no folder for the witness, and a restored backup may go unnoticed: set HOME, XDG_STATE_HOME, or seal_key to file:PATH")
		}
		return
	}
	if document, err := folder.Load(id); err != nil || document == nil {
		return
	}
	if err := folder.Record(store.Name(p.store), id); err != nil {
		log.WarnContext(ctx, "the witness cannot be used, and a lost store may go unnoticed", "error", err.Error())
	}
}

// lostKeyset says which keyset an empty store had, as far as this machine knows; "" if it
// had none.
func (p places) lostKeyset() string {
	folder, ok := p.witness.(witness.Folder)
	if !ok {
		return ""
	}
	if _, isFile := store.Path(p.store); isFile && p.keyFileIsMissing() {
		return "" // no backup could be used without it
	}
	name := store.Name(p.store)
	id, had, err := folder.Recorded(name)
	if err != nil || !had { // recordKeyset logs that the record cannot be used
		return ""
	}
	return fmt.Sprintf("%s says that it had keyset %s", folder.RecordPath(name), cmp.Or(id, "(the file is damaged)"))
}

// keyFileIsMissing tells whether the sealing keys come from a file that cannot be found.
func (p places) keyFileIsMissing() bool {
	path, ok := p.sealKey.Path()
	if !ok {
		return false
	}
	_, err := os.Stat(path)
	return err != nil
}

// storeIsMissing tells whether the store is a file that does not exist. A link
// without a target counts as there; opening it says what is wrong.
func (p places) storeIsMissing() bool {
	path, ok := store.Path(p.store)
	if !ok {
		return false
	}
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist) && fileaccess.CheckLink(path) == nil
}

// stateFolder is our folder among the user's state, "" if nothing says where that is.
// Without a home directory, package xdg would name a folder at the root of the file system.
func stateFolder(getenv func(string) string) string {
	home := "HOME"
	if runtime.GOOS == "windows" {
		home = "USERPROFILE"
	}
	if getenv(home) == "" && !filepath.IsAbs(getenv("XDG_STATE_HOME")) {
		return ""
	}
	return filepath.Join(xdg.StateHome, "jwksctl")
}

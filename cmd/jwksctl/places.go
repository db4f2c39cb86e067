package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/adrg/xdg"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/fileaccess"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
)

// places say where a command finds its keyset and what belongs to it.
type places struct {
	store   string       // URL
	sealKey string       // path of the sealing key; empty for one that is as short-lived as a store in memory
	witness keys.Witness // nil if the store is not a file
	err     error        // why the other fields are not set; only commands that use the keyset fail with it
}

// findPlaces works out the places from the settings. If the store is a file, the sealing
// key and the witness are beside it, so that all three are mounted and moved together.
func findPlaces(c config.Config, stateFolder string) places {
	p := places{store: c.Store, sealKey: c.SealKeyFile}
	if p.store == "" {
		if stateFolder == "" {
			return places{err: badUsage("no home directory to keep keys in: HOME and XDG_STATE_HOME are empty: name a store with --store")}
		}
		p.store = "sqlite:" + filepath.Join(stateFolder, "keyset.db")
	}
	if path, ok := store.Path(p.store); ok {
		if p.sealKey == "" {
			p.sealKey = filepath.Join(filepath.Dir(path), "seal.key")
		}
		p.witness = witness.Folder(filepath.Dir(p.sealKey))
	}
	return p
}

// earlierKeysets returns the names of the witness files beside the sealing key, if
// there is one.
func (p places) earlierKeysets() []string {
	folder, ok := p.witness.(witness.Folder)
	if !ok {
		return nil
	}
	if _, err := os.Stat(p.sealKey); err != nil {
		return nil // no backup could be used without it
	}
	return folder.Files()
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

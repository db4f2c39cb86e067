package main

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/adrg/xdg"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
)

// storeURL is the store that the settings name, "" if they name none and the
// user has no place for one either.
func storeURL(c config.Config) string {
	if c.Store != "" {
		return c.Store
	}
	if homeless() {
		return ""
	}
	return "sqlite:" + filepath.Join(stateFolder(), "keyset.db")
}

func stateFolder() string { return filepath.Join(xdg.StateHome, "jwksctl") }

// homeless tells whether the state folder would be at the root of the file
// system, for want of anything that says where it should be. It looks where xdg
// has looked.
func homeless() bool {
	home := "HOME"
	if runtime.GOOS == "windows" {
		home = "USERPROFILE"
	}
	return os.Getenv(home) == "" && !filepath.IsAbs(os.Getenv("XDG_STATE_HOME"))
}

// sealKeyPath is where the sealing key lies: beside the store, if that is a
// file, so that the two are mounted and moved together.
func sealKeyPath(c config.Config) string {
	if c.SealKeyFile != "" {
		return c.SealKeyFile
	}
	if path, ok := store.Path(storeURL(c)); ok {
		return filepath.Join(filepath.Dir(path), "seal.key")
	}
	return filepath.Join(stateFolder(), "seal.key")
}

// openWitness is the folder of the sealing key, where a file remembers what a
// restored store would have forgotten. A store without a place needs none.
func openWitness(c config.Config) keys.Witness {
	if _, ok := store.Path(storeURL(c)); !ok {
		return nil
	}
	return witness.Folder(filepath.Dir(sealKeyPath(c)))
}

// baseURL is the server's own URL as the settings have it. A wildcard address
// is none that anybody can call, so loopback stands in for it.
func baseURL(c config.Config, port int) string {
	scheme, host := "http", c.Host
	if c.TLSCert != "" {
		scheme = "https"
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port))
}

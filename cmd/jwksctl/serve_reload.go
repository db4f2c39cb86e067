package main

import (
	"context"
	"io/fs"
	"os"
	"slices"
	"sync"
)

// reloader loads files again when they change. While they cannot be loaded, what was loaded
// last stays.
type reloader struct {
	files  []string
	load   func() error
	report func(ctx context.Context, err error) // logs what load returned
	wait   bool                                 // ifChanged loads only what two calls in a row have found, because a part of a file may be valid

	mu       sync.Mutex
	seen     []fs.FileInfo // by the last call of ifChanged
	versions []fs.FileInfo // at the last attempt to load them; nil if one could not be found
	failing  bool          // the last attempt failed
}

// start loads the files for the first time.
func (r *reloader) start() error {
	r.versions = r.stat()
	return r.load()
}

// ifChanged loads the files if they are not those of the last attempt.
func (r *reloader) ifChanged(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	versions, before := r.stat(), r.seen
	r.seen = versions
	switch {
	case slices.EqualFunc(versions, r.versions, isSameVersion):
	case r.wait && !slices.EqualFunc(versions, before, isSameVersion):
	default:
		r.versions = versions
		r.reload(ctx)
	}
}

// now loads the files even if they look the same.
func (r *reloader) now(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failing = false // so that the answer to SIGHUP is always in the log
	r.versions = r.stat()
	r.reload(ctx)
}

// reload reports the first of several failures only. The caller has locked mu.
func (r *reloader) reload(ctx context.Context) {
	failing := r.failing
	err := r.load()
	r.failing = err != nil
	if err == nil || !failing {
		r.report(ctx, err)
	}
}

func (r *reloader) stat() []fs.FileInfo {
	var versions []fs.FileInfo
	for _, path := range r.files {
		info, err := os.Stat(path)
		if err != nil {
			return nil
		}
		versions = append(versions, info)
	}
	return versions
}

func isSameVersion(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
